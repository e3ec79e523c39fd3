"""Labels that fit spectra best, and how well they are known, by an emulator's slopes."""

from starnet.inference.fit.fit import fit_spectra
from starnet.inference.fit.result import FitResult

__all__ = ["FitResult", "fit_spectra"]
