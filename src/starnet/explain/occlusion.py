"""Occlusion: what a network says when part of the spectrum is taken from it.

``how="mask"``: the window is masked, as a detector's fault would be, and goes through the model's
own preprocessing. A network that knows masks fills in what is gone from what it knows of spectra,
so labels move little where other lines say the same: the change tells what is said here *only*.
``how="replace"``: the window is filled with that of the mean star of the set, unmasked. The
network believes it, so the change tells how much it listens there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError
from starnet.explain.sensitivity import baseline_flux, usable
from starnet.spectra import Spectra, WavelengthGrid

if TYPE_CHECKING:
    from starnet.artifact import Model

Array = NDArray[Any]
ELEMENTS_WIDE = 4.0
"""Width of a window in resolution elements, by default."""


@dataclass(frozen=True, eq=False)
class Occlusion:
    """Changes of L labels by each of W windows, over N stars.

    Attributes
    ----------
    windows : array (W, 2)
        First and last wavelength, vacuum Angstrom.
    names : tuple of str
    mean, error : array (W, L)
        Mean change of a label, with its sign, and the error of that mean.
    size : array (W, L)
        Root mean square of the change.
    how : "mask" or "replace"
    """

    windows: Array
    names: tuple[str, ...]
    mean: Array
    error: Array
    size: Array
    how: str


def occlusion(
    model: Model,
    spectra: Spectra,
    *,
    how: Literal["mask", "replace"] = "mask",
    width: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Occlusion:
    """Labels with one window after the other taken away, against those of the whole spectra.

    Parameters
    ----------
    model : Model
    spectra : Spectra
        As the model takes them.
    how : "mask" or "replace"
    width : float, optional
        Of a window, Angstrom. Default: `ELEMENTS_WIDE` resolution elements.
    progress : callable, optional
        Told the windows done and their number.

    Raises
    ------
    ConfigError
        If ``how`` is unknown or the width is not positive.
    DataError
        If no spectrum has a usable pixel.
    """
    from starnet.models import apply_network

    if how not in ("mask", "replace"):
        raise ConfigError(f'how must be "mask" or "replace"; received {how!r}.')
    if width is not None and not width > 0:
        raise ConfigError(f"The width of a window must be positive; received {width} Angstrom.")
    prepared, rows = usable(model, spectra)
    mean_star = baseline_flux(prepared, "mean")
    spans = windows_of(prepared.grid, width)
    device = str(next((p.device for p in model.network.parameters()), "cpu"))
    n = len(model.labels)

    def labels(seen: Spectra) -> Array:
        out = apply_network(model.network, model.inputs(seen), device=device)[:, :n]
        return model.scale.inverse(out)

    whole = labels(prepared)
    wave = prepared.grid.wavelength
    changes = []
    for i, (a, b) in enumerate(spans):
        if how == "mask":
            seen = _masked(model, spectra[rows], wave[a], wave[b - 1])
        else:
            flux = np.array(prepared.flux)
            flux[:, a:b] = np.where(prepared.mask[:, a:b], flux[:, a:b], mean_star[a:b])
            seen = prepared.replace(flux=flux)
        changes.append(labels(seen) - whole)
        if progress:
            progress(i + 1, len(spans))
    change = np.stack(changes)  # (W, N, L)
    error = np.full(change.shape[::2], np.nan)
    if len(rows) > 1:
        error = change.std(axis=1, ddof=1) / np.sqrt(len(rows))
    vacuum = prepared.grid.to_vacuum().wavelength
    ends = np.array([[vacuum[a], vacuum[b - 1]] for a, b in spans])
    size = np.sqrt(np.mean(change**2, axis=1))
    return Occlusion(ends, model.labels, change.mean(axis=1), error, size, how)


def windows_of(grid: WavelengthGrid, width: float | None = None) -> list[tuple[int, int]]:
    """Pixel ranges that tile each chip, about ``width`` Angstrom each."""
    from starnet.explain.known import resolution_element

    wave = grid.to_vacuum().wavelength
    wide = ELEMENTS_WIDE * resolution_element(grid, wave) if width is None else width
    pixels = np.broadcast_to(wide, wave.shape) / np.gradient(wave)
    out = []
    for a, b in grid.chips:
        n = max(1, round((b - a) / max(float(np.median(pixels[a:b])), 1.0)))
        cuts = np.linspace(a, b, n + 1).astype(int)
        out += [(int(x), int(y)) for x, y in itertools.pairwise(cuts) if y > x]
    return out


def _masked(model: Model, spectra: Spectra, first: float, last: float) -> Spectra:
    """Prepared spectra, the pixels between two wavelengths of the network's grid masked before."""
    wave = spectra.grid.wavelength
    step = 0.5 * np.gradient(wave)
    hidden = (wave > first - step) & (wave < last + step)
    mask = spectra.mask | hidden
    return model.prepare(spectra.replace(mask=mask, ivar=np.where(mask, 0.0, spectra.ivar)))
