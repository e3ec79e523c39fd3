"""Libraries of synthetic spectra: which stars to make, and making them into a data set."""
