"""Stars of several samplers together, as the recipes of readers name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starnet.library.sampler import Sampler

if TYPE_CHECKING:
    from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]


def draw_mixed(
    stars: Sequence[Mapping[str, Any]],
    emulator: Emulator,
    n: int,
    *,
    seed: int = 0,
    anew: int | None = None,
) -> Array:
    """Labels (at most n, L) in the emulator's order, within its hull, mixed.

    Parameters
    ----------
    stars : sequence of mapping
        Settings of samplers. ``share`` is each one's part of the stars, and ``blur`` the standard
        deviation by label that is added to what it draws (``x_fe`` for all abundances, which are
        mirrored at the edges of the hull).
    emulator : Emulator
    n : int
        Before those that were blurred out of the hull are left out.
    seed : int
        Of the order.
    anew : int, optional
        Other stars than those of the samplers' own seeds.
    """
    shares = np.array([float(s.get("share", 1.0)) for s in stars])
    parts = []
    for j, (share, settings) in enumerate(zip(shares / shares.sum(), stars, strict=True)):
        rule = {k: v for k, v in settings.items() if k not in ("share", "blur")}
        if anew is not None:
            rule["seed"] = 7919 * (anew + 1) + j
        drawn = Sampler.from_dict(rule).draw(max(1, int(np.ceil(share * n))), emulator.covers)
        own = emulator.own(drawn)
        rng = np.random.default_rng(7 if anew is None else [7, anew])
        parts.append(_blurred(own, settings.get("blur", {}), emulator, rng))
    rows = np.concatenate(parts)
    rows = rows[emulator.hull.contains(rows)]
    return rows[np.random.default_rng(seed).permutation(len(rows))][:n]


def _blurred(
    values: Array, blur: Mapping[str, float], emulator: Emulator, rng: np.random.Generator
) -> Array:
    width = np.zeros(len(emulator.labels))
    for name, sigma in blur.items():
        some = [n for n in emulator.labels if n.endswith("_fe")] if name == "x_fe" else [name]
        for one in some:
            width[emulator.labels.index(one)] = sigma
    low, high = emulator.hull.low, emulator.hull.high
    far = values + width * rng.standard_normal(values.shape)
    inside = low + np.abs((far - high) % (2 * (high - low)) - (high - low))  # as between mirrors
    mirrored = np.array([name.endswith("_fe") for name in emulator.labels])
    return np.where(mirrored, inside, far)
