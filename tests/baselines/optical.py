"""Made-up optical stars whose lines are Gaussians with the widths of the shipped curves."""

from __future__ import annotations

import numpy as np
import torch

from starnet.baselines.widths.curves import LABELS, shipped_curves
from starnet.spectra import Labels, LineSpread, Spectra, WavelengthGrid
from starnet.synthesis.composition import vmic_relation

NAMES = ("teff", "logg", "fe_h")
NOISE = 0.004


def optical_stars(n: int = 72, seed: int = 4) -> tuple[Spectra, Labels]:
    """Stars of R = 45,000 at S/N 250 from 5940 to 6530 Angstrom, with their labels."""
    rng = np.random.default_rng(seed)
    values = rng.uniform([4700, 2.0, -0.9], [6200, 4.5, 0.2], (n, 3))
    curves = shipped_curves()
    every = np.column_stack([values, vmic_relation(values[:, 1])])
    assert (*NAMES, "vmic") == LABELS
    log_width, _ = curves.log_width(torch.as_tensor(every))
    wave = np.arange(5940.0, 6530.0, 0.045)
    flux = np.ones((n, wave.size))
    for line, width in zip(curves.wavelength, np.exp(log_width.numpy()).T, strict=True):
        sigma = 0.065 * line / 6000
        near = slice(*np.searchsorted(wave, [line - 6 * sigma, line + 6 * sigma]))
        shape = np.exp(-0.5 * ((wave[near] - line) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        flux[:, near] -= (width * line)[:, None] * shape
    flux += NOISE * rng.standard_normal(flux.shape)
    mask = rng.random(flux.shape) < 0.005
    grid = WavelengthGrid(wave, "vacuum", lsf=LineSpread(resolution=45_000.0))
    return Spectra(grid, flux, np.full(flux.shape, NOISE**-2), mask), Labels(NAMES, values)
