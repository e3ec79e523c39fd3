"""Made-up spectra of the tests of methods on principal components."""

from __future__ import annotations

import numpy as np

from starnet.spectra import Labels, Spectra, WavelengthGrid

NAMES = ("teff", "logg", "fe_h")


def log_grid(n_pixels: int) -> WavelengthGrid:
    """A grid of so many pixels."""
    return WavelengthGrid.log10(4.18, 6e-6, n_pixels, "vacuum")


def low_rank(n: int, n_pixels: int, k: int, noise: float, seed: int = 0) -> np.ndarray:
    """Flux (n, n_pixels) of k components of falling size about 1, and noise."""
    rng = np.random.default_rng(seed)
    shapes = np.linalg.qr(rng.standard_normal((n_pixels, k)))[0]
    size = 0.6 ** np.arange(k)
    flux = 1 + (rng.standard_normal((n, k)) * size) @ shapes.T
    return flux + noise * rng.standard_normal(flux.shape)


def linear_stars(
    n: int, noise: float, *, n_pixels: int = 90, curved: float = 0.0, seed: int = 0
) -> tuple[Spectra, Labels]:
    """Stars whose flux is linear in three labels, but for a share, with known errors."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, (n, 3))
    shapes = 0.1 * np.random.default_rng(1).standard_normal((n_pixels, 3))
    bent = 0.1 * np.random.default_rng(2).standard_normal((n_pixels, 3))
    flux = 1 + theta @ shapes.T + curved * (theta**2) @ bent.T
    flux = flux + noise * rng.standard_normal(flux.shape)
    values = np.column_stack([5000 + 400 * theta[:, 0], 2.5 + theta[:, 1], 0.3 * theta[:, 2]])
    ivar = np.full(flux.shape, noise**-2 if noise else 0.0)
    return Spectra(log_grid(n_pixels), flux, ivar), Labels(NAMES, values)
