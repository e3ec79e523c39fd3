"""Which stars are worth making: a region of plausible stars, and what the atmospheres cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError
from starnet.library.sampler import Accept
from starnet.spectra import Labels
from starnet.synthesis.composition import Composition
from starnet.synthesis.contract import Synthesizer

Array = NDArray[Any]
Corners = tuple[tuple[float, float], ...]
"""Corners (Teff, log g) of a polygon, in order; empty for everywhere."""
SAME = 1e-6


def corners(value: Sequence[Any]) -> Corners:
    """Corners of a region, checked."""
    try:
        out = tuple((float(teff), float(logg)) for teff, logg in value)
    except (TypeError, ValueError):
        out = ((0.0, 0.0),)
    if out and (len(out) < 3 or not np.isfinite(out).all()):
        raise ConfigError(
            f"region is a list of at least three corners [teff, logg]; received {value!r}."
        )
    return out


def inside(region: Corners, teff: Array, logg: Array) -> NDArray[np.bool_]:
    """Whether each star (N,) lies within the polygon: a ray from it crosses an odd number of edges.

    An empty region holds every star.
    """
    if not region:
        return np.ones(len(teff), dtype=bool)
    crossings = np.zeros(len(teff), dtype=int)
    for (x0, y0), (x1, y1) in zip(region, (*region[1:], region[0]), strict=True):
        spans = (y0 > logg) != (y1 > logg)
        slope = (x1 - x0) / (y1 - y0) if y1 != y0 else 0.0
        crossings += spans & (teff < x0 + slope * (logg - y0))
    return crossings % 2 == 1


def atmospheres_accept(atmospheres: Any, names: Sequence[str]) -> Accept:
    """Which stars a set of atmospheres covers.

    Parameters
    ----------
    atmospheres : AtmosphereEmulator or AtmosphereGrid
        With a ``hull`` in teff, logg, m_h, alpha_m, and perhaps a method ``sound``.
    names : sequence of str
        The labels of the stars; their alpha enhancement follows from them (`Composition`).
    """
    to_atmosphere = Composition.of(names).atmosphere  # (4, L)
    order = ("teff", "logg", "m_h", "alpha_m")
    columns = [order.index(name) for name in atmospheres.hull.names]

    def accept(labels: Labels) -> NDArray[np.bool_]:
        values = labels.select(names).values @ to_atmosphere.T  # (N, 4)
        good = np.asarray(atmospheres.hull.contains(values[:, columns]))
        if good.any() and hasattr(atmospheres, "sound"):
            good[good] = atmospheres.sound(values[good])
        return good

    return accept


def engine_accept(engine: Synthesizer) -> Accept:
    """Which stars an engine can make.

    By its method ``covers(labels)`` if it has one, or the hull of its ``atmospheres``; otherwise
    those which ``outside="clamp"`` would leave where they are.
    """
    covers = getattr(engine, "covers", None)
    atmospheres = getattr(engine, "atmospheres", None)

    def accept(labels: Labels) -> NDArray[np.bool_]:
        if covers is not None:
            return np.asarray(covers(labels), dtype=bool)
        if hasattr(atmospheres, "hull"):
            return atmospheres_accept(atmospheres, labels.names)(labels)
        moved = np.abs(engine.clamped(labels).values - labels.values)
        return np.all(moved <= SAME * (1.0 + np.abs(labels.values)), axis=1)

    return accept


def accept_all(region: Corners, engine: Synthesizer | None) -> Accept:
    """Stars that lie in the region and, if there is an engine, that it can make."""
    can = None if engine is None else engine_accept(engine)

    def accept(labels: Labels) -> NDArray[np.bool_]:
        good = np.ones(len(labels), dtype=bool)
        if region:
            good = inside(region, labels.column("teff"), labels.column("logg"))
        if can is not None and good.any():
            good[good] = can(labels[good])
        return good

    return accept
