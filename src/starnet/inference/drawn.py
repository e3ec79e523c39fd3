"""Spectra like those that a reader was trained on, drawn anew: for limits and calibration.

The recipe that a model carries names the samplers of its stars, the observer and what else was
varied (`starnet.training`); here an emulator and that observer make whole spectra of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.artifact import Model
from starnet.errors import ConfigError
from starnet.library import draw_mixed
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Observer

Array = NDArray[Any]


def draw_spectra(
    model: Model,
    emulator: Emulator,
    n: int,
    *,
    seed: int = 0,
    snr: tuple[float, float] | None = None,
) -> tuple[Spectra, Labels]:
    """N observed-looking spectra of the stars of a model's recipe, and their labels.

    Rotation and macroturbulence, the line spread, velocity, continuum, sky, bad pixels and
    errors in the depths of lines are varied as in training; ids and streams follow from the seed.

    Parameters
    ----------
    model : Model
        With a recipe in its provenance (those of `train_reader` have one).
    emulator : Emulator
        On its own grid.
    n : int
    seed : int
    snr : (low, high), optional
        Signal to noise, even in the logarithm. Default: the recipe's.

    Raises
    ------
    ConfigError
        If the model carries no recipe with an observer and stars.
    """
    recipe = model.provenance.get("recipe") or {}
    if not recipe.get("stars") or not recipe.get("observer"):
        raise ConfigError(
            f"The model {model.name!r} carries no recipe with stars and an observer, so spectra "
            "like its training set cannot be drawn. Give spectra of good stars instead."
        )
    settings = {**recipe["observer"], "seed": seed}
    if snr is not None:
        settings["snr"] = tuple(snr)
    rng = np.random.default_rng([seed, 5])
    more = 2 * n + 100  # some are blurred out of the hull
    values = draw_mixed(recipe["stars"], emulator, more, seed=seed, anew=seed)[:n]
    labels = Labels(emulator.labels, values)
    flux = _broadened(labels, emulator, recipe.get("sight") or {}, rng)
    meta = Table({"id": [f"drawn-{seed}-{i}" for i in range(n)]})
    clean = Spectra(emulator.grid, flux, frame="rest", meta=meta)
    return Observer.from_dict(settings)(clean), labels


def _broadened(
    labels: Labels, emulator: Emulator, sight: Mapping[str, Any], rng: np.random.Generator
) -> Array:
    """Emulated flux (N, P) of turning stars, lines wrong by as much as in training."""
    n = len(labels)
    low, high = sight.get("vmac", (0.5, 8.0))
    vmac = rng.uniform(low, high, n)
    low, high = sight.get("vsini", (0.0, 15.0))
    part = np.where(rng.random(n) < 0.25, 1.0, 1 / 3)
    vsini = low + (high - low) * rng.random(n) * part
    names = (*labels.names, "vmac", "vsini")
    moving = Labels(names, np.column_stack([labels.values, vmac, vsini]))
    flux = emulator.synthesize(moving, emulator.grid, outside="clamp").normalized
    width, most = sight.get("line_width", 1.5), sight.get("line_error", 0.03)
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / width) ** 2)
    kernel /= np.sqrt(np.sum(kernel**2))
    for row in flux:
        smooth = np.convolve(rng.standard_normal(row.size), kernel, mode="same")
        row[:] = 1 - (1 - row) * np.maximum(1 + most * rng.random() * smooth, 0.0)
    return flux
