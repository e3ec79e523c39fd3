"""Labels that fit spectra best, and how well they are known, by an emulator's slopes."""

from typing import TYPE_CHECKING

from starnet.inference.fit.fit import fit_spectra
from starnet.inference.fit.result import FitResult

if TYPE_CHECKING:
    from starnet.inference.fit.cluster import sample_cluster
    from starnet.inference.fit.sampling import Posterior, sample_posterior

__all__ = ["FitResult", "Posterior", "fit_spectra", "sample_cluster", "sample_posterior"]


def __getattr__(name: str) -> object:
    """Posteriors are loaded when they are first used."""
    if name in ("Posterior", "sample_posterior"):
        from starnet.inference.fit import sampling

        return getattr(sampling, name)
    if name == "sample_cluster":
        from starnet.inference.fit.cluster import sample_cluster

        return sample_cluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
