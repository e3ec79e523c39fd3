"""`lte`: our own engine, in torch, with derivatives by labels and line data.

tables        physics of others, read from a folder
eos           temperature and pressure -> number densities
continuum     continuous absorption and scattering
hydrogen      lines of hydrogen
opacity       all other lines (voigt, linesum: the sum of profiles)
transfer      opacity -> flux
engine        all of it for one wavelength grid
structure     labels -> atmospheres
synthesizer   behind the contract of every synthesizer
"""
