"""Arms of one instrument: where a grid has gaps, and how arms become one spectrum with chips."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import DataError, GridError
from starnet.spectra import LineSpread, Spectra, WavelengthGrid

GAP = 5.0  # a step this many times the usual one is a gap


def gaps(wave: NDArray[Any]) -> tuple[tuple[int, int], ...]:
    """Pixel ranges between the gaps of a wavelength scale; one range if it has none."""
    step = np.diff(wave)
    jumps = np.flatnonzero(step > GAP * np.median(step)) + 1 if step.size else np.zeros(0, int)
    edges = [0, *(int(j) for j in jumps), wave.size]
    return tuple(pairwise(edges))


def join_arms(arms: Sequence[Spectra]) -> Spectra:
    """Arms of the same stars, side by side on one grid whose chips are the arms.

    Parameters
    ----------
    arms : sequence of Spectra
        The same number of rows in each, in the same order, such as the four CCDs of GALAH or the
        three arms of DESI. Where two overlap they are cut in the middle of the overlap: pixels
        are chosen, not averaged, so no errors become correlated.

    Returns
    -------
    Spectra
        Metadata are those of the bluest arm; the names in ``id`` are the stars' if those differ
        from one another.

    Raises
    ------
    DataError
        If there are no arms, or they are not of the same rows.
    FrameError
        If frames or media differ.
    GridError
        If one arm lies within another.
    """
    parts = sorted(arms, key=lambda arm: arm.grid.wavelength[0])
    if not parts or len({len(part) for part in parts}) > 1:
        raise DataError(f"Arms need the same rows; received {[len(part) for part in parts]} rows.")
    first = parts[0]
    if any(list(part.stars) != list(first.stars) for part in parts):
        raise DataError("Arms need the same stars in the same order; the names of theirs differ.")
    for part in parts:
        part.require(frame=first.frame, medium=first.grid.medium)
    parts = _cut(parts)
    meta = first.meta.copy()
    if len(set(first.stars)) == len(first):
        meta["id"] = first.stars
    return first.replace(
        grid=_joined(parts),
        flux=np.concatenate([part.flux for part in parts], axis=1),
        ivar=np.concatenate([part.ivar for part in parts], axis=1),
        mask=np.concatenate([part.mask for part in parts], axis=1),
        meta=meta,
    )


def _cut(parts: list[Spectra]) -> list[Spectra]:
    for i in range(len(parts) - 1):
        blue, red = parts[i], parts[i + 1]
        end, start = blue.grid.wavelength[-1], red.grid.wavelength[0]
        if end < start:
            continue
        if red.grid.wavelength[-1] <= end:
            raise GridError(f"One arm lies within another: {red.grid.describe()}.")
        middle = 0.5 * (end + start)
        parts[i] = blue.select_pixels(blue.grid.wavelength < middle)
        parts[i + 1] = red.select_pixels(red.grid.wavelength >= middle)
    return parts


def _joined(parts: list[Spectra]) -> WavelengthGrid:
    wave = np.concatenate([part.grid.wavelength for part in parts])
    chips: list[tuple[int, int]] = []
    start = 0
    for part in parts:
        chips += [(start + a, start + b) for a, b in part.grid.chips]
        start += part.n_pixels
    widths = [None if p.grid.lsf is None else p.grid.lsf.fwhm_at(p.grid.wavelength) for p in parts]
    known = [width for width in widths if width is not None]
    lsf = LineSpread(fwhm=np.concatenate(known)) if len(known) == len(parts) else None
    return WavelengthGrid(wave, parts[0].grid.medium, tuple(chips), lsf)
