"""StarNet: stellar spectra to labels with neural networks, and back."""

__version__ = "0.1.0"
