"""A grid of model atmospheres, complete or ragged, and interpolation within it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from starnet.errors import ConfigError, LabelError, ReadError

from .atmosphere import COLUMNS, SCALES, Atmosphere, FloatArray
from .hull import TOLERANCE, LabelHull
from .read import identify_atmosphere, read_atmospheres
from .weights import Lattice

LABELS = ("teff", "logg", "m_h", "alpha_m")
SAME = 1e-3
"""Labels closer than this are the same node."""
ENOUGH = 0.9
"""The part of the models that must have the depth scale."""
NEAR: Mapping[str, float] = {"teff": 10.0, "logg": 0.01, "m_h": 0.01, "alpha_m": 0.01}
"""A label that the grid does not vary may differ from the grid's own value by this much."""


class AtmosphereGrid:
    """Model atmospheres and the labels in which they vary.

    Interpolation is a mean of neighbouring models with weights (see `Lattice`): multilinear in the
    smallest box of nodes around the point whose corners are all there, else linear within a simplex
    of nodes. Columns are averaged in their logarithm at equal optical depth (Rosseland, or at
    5000 Å where more models have that), within the range that the neighbours share. At a node the
    model itself comes back.

    Parameters
    ----------
    models : sequence of Atmosphere
        Two at least, one for each node. Up to a tenth of them may lack the depth scale of the
        others: they are left out and listed in ``left_out``.

    Raises
    ------
    ConfigError
        If there are fewer than two models, two at one node, or no depth scale that they share.
    """

    def __init__(self, models: Sequence[Atmosphere]) -> None:
        if len(models) < 2:
            raise ConfigError(
                f"A grid needs two models or more, not {len(models)}; add models, or use the one."
            )
        self.scale, has_it = _scale(models)
        ross = self.scale == "tau_ross"
        kept = [m for m, has in zip(models, has_it, strict=True) if has]
        self.left_out = tuple(m for m, has in zip(models, has_it, strict=True) if not has)
        self.models = tuple(m.with_tau_ross() if ross else m for m in kept)
        values = np.array([[getattr(m, name) for name in LABELS] for m in kept])  # (N, 4)
        self.labels = _free(values)
        points = values[:, [LABELS.index(name) for name in self.labels]]
        _check_nodes(self.labels, points, self.models)
        self.hull = LabelHull(self.labels, points)
        self._lattice = Lattice((points - self.hull.low) / self.hull.scale)
        self._fractions = self._template()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> AtmosphereGrid:
        """The grid of all models in a folder (and the folders below), or of one file of many.

        Files that are no model atmospheres are passed over.

        Raises
        ------
        ReadError
            If there is no model, or one is cut off.
        ConfigError
            As the constructor; `read_folder` and `select` help where two models share a node.
        """
        return cls(read_folder(path))

    def __len__(self) -> int:
        return len(self.models)

    def __repr__(self) -> str:
        spans = ", ".join(f"{n} {low:g}..{high:g}" for n, (low, high) in self.limits.items())
        return f"<AtmosphereGrid of {len(self)} models: {spans}>"

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest value of each label that varies."""
        return self.hull.limits

    def at(
        self,
        teff: float,
        logg: float,
        m_h: float = 0.0,
        alpha_m: float | None = None,
        *,
        outside: str = "error",
    ) -> Atmosphere:
        """The atmosphere at these labels.

        Parameters
        ----------
        teff, logg, m_h, alpha_m : float
            K, dex of cm/s2, dex, dex. Without ``alpha_m`` the grid's own alpha at that metallicity
            is taken, or 0 where the grid varies it.
        outside : "error" or "clamp"
            What to do outside the hull of the models: raise, or take its nearest point (distances
            in units of each label's range) and say so in ``clamped`` of the result.

        Returns
        -------
        Atmosphere
            Its labels are the ones it was made for. It is spherical where all neighbours are.

        Raises
        ------
        LabelError
            If a label is NaN or outside.
        """
        if alpha_m is None and "alpha_m" in self.labels:
            alpha_m = 0.0
        wanted = {"teff": teff, "logg": logg, "m_h": m_h, "alpha_m": alpha_m}
        asked = {name: float(v) for name, v in wanted.items() if v is not None}
        value = np.array([[asked[name] for name in self.labels]])
        point = self.hull.place(value, outside, "grid of model atmospheres")[0]
        weights = self._lattice.weights((point - self.hull.low) / self.hull.scale)
        result = replace(self._mean(weights), **dict(zip(self.labels, point.tolist(), strict=True)))
        fixed = {n: v for n, v in asked.items() if n not in self.labels}
        strange = {n: v for n, v in fixed.items() if abs(getattr(result, n) - v) > NEAR[n]}
        if outside == "error" and strange:
            name, v = next(iter(strange.items()))
            raise LabelError(
                f"{name} = {v:g} is not in this grid, which does not vary {name} freely and has "
                f"{getattr(result, name):g} here; leave it out, use a grid that varies it, or pass "
                f'outside="clamp".'
            )
        moved = np.abs(point - value[0]) > TOLERANCE * self.hull.scale
        clamped = {n: asked[n] for n, far in zip(self.labels, moved, strict=True) if far}
        return replace(result, clamped=clamped | strange)

    def _mean(self, weights: Mapping[int, float]) -> Atmosphere:
        if len(weights) == 1:
            return self.models[next(iter(weights))]
        nodes = [self.models[i] for i in weights]
        share = np.array(list(weights.values()))
        tau = self._common_depths(nodes)
        nodes = [node.resample(tau, self.scale) for node in nodes]
        new: dict[str, Any] = {n: float(share @ [getattr(m, n) for m in nodes]) for n in LABELS}
        for name in COLUMNS:
            logs = [getattr(node, name) for node in nodes]
            whole = all(column is not None for column in logs)
            new[name] = 10.0 ** (share @ np.log10(np.array(logs))) if whole else None
        depths = [node.depth for node in nodes if node.depth is not None]
        new["depth"] = share @ np.array(depths) if len(depths) == len(nodes) else None
        radii = [node.radius for node in nodes if node.radius is not None]
        new["radius"] = float(np.exp(share @ np.log(radii))) if len(radii) == len(nodes) else None
        new |= {n: float(share @ [getattr(m, n) for m in nodes]) for n in ("mass", "vmic")}
        new["abundances"] = _mean_abundances(nodes, share)
        return Atmosphere(**new, source=f"mean of {len(nodes)} models")

    def _common_depths(self, nodes: Sequence[Atmosphere]) -> FloatArray:
        """Optical depths in the range that all nodes share, spaced as in the grid's models."""
        logs = [np.log10(getattr(node, self.scale)) for node in nodes]
        low, high = max(x[0] for x in logs), min(x[-1] for x in logs)
        return 10.0 ** (low + self._fractions * (high - low))

    def _template(self) -> FloatArray:
        """Spacing of depths, 0 to 1, of a model with the commonest number of depths."""
        count = Counter(model.n_depths for model in self.models).most_common(1)[0][0]
        model = next(m for m in self.models if m.n_depths == count)
        log_tau = np.log10(getattr(model, self.scale))
        return (log_tau - log_tau[0]) / (log_tau[-1] - log_tau[0])


def read_folder(path: str | os.PathLike[str]) -> tuple[Atmosphere, ...]:
    """All models of a folder and the folders below, by file name, or of one file.

    Raises
    ------
    ReadError
        If there is none, or one is cut off.
    """
    path = Path(path)
    if not path.is_dir():
        return read_atmospheres(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    found = [file for file in files if identify_atmosphere(file) is not None]
    if not found:
        raise ReadError(
            f"{path}: no model atmosphere among {len(files)} files; MARCS .mod, Kurucz/ATLAS text "
            f"and PFANT's binary grid are read."
        )
    return tuple(model for file in found for model in read_atmospheres(file))


def select(models: Sequence[Atmosphere], **values: float | bool) -> tuple[Atmosphere, ...]:
    """The models with these attributes: ``select(models, vmic=2.0, spherical=True)``.

    Raises
    ------
    ConfigError
        If an attribute is unknown or no model is left.
    """
    known = (*LABELS, "vmic", "mass", "spherical")
    if unknown := [name for name in values if name not in known]:
        raise ConfigError(f"Models are selected by {', '.join(known)}, not {', '.join(unknown)}.")
    kept = tuple(m for m in models if all(abs(getattr(m, n) - v) < SAME for n, v in values.items()))
    if not kept:
        given = ", ".join(f"{name}={value}" for name, value in values.items())
        raise ConfigError(f"None of {len(models)} models has {given}; select by other values.")
    return kept


def _scale(models: Sequence[Atmosphere]) -> tuple[str, list[bool]]:
    """The depth scale that most models have, the Rosseland one first, and which have it."""
    ross = [m.tau_ross is not None or m.opacity_ross is not None for m in models]
    visual = [m.tau_5000 is not None for m in models]
    name, has_it = (SCALES[1], visual) if sum(visual) > sum(ross) else (SCALES[0], ross)
    if sum(has_it) < max(2, ENOUGH * len(models)):
        raise ConfigError(
            f"The models share no depth scale: {sum(ross)} of {len(models)} have tau_ross or "
            f"opacity_ross, {sum(visual)} have tau_5000, and one must be in at least "
            f"{100 * ENOUGH:.0f} %; keep models of one kind in one grid."
        )
    return name, has_it


def _free(values: FloatArray) -> tuple[str, ...]:
    """The labels that vary by themselves: not constant, and alpha not fixed by the metallicity."""
    free = [name for i, name in enumerate(LABELS) if np.ptp(values[:, i]) > SAME]
    pairs = {(round(m, 3), round(a, 3)) for m, a in values[:, 2:]}
    metals = len({m for m, _ in pairs})
    if "alpha_m" in free and len(pairs) == metals and 1 < metals <= len(values) / 2:
        free.remove("alpha_m")
    return tuple(free)


def _check_nodes(labels: Sequence[str], points: FloatArray, models: Sequence[Atmosphere]) -> None:
    seen: dict[tuple[float, ...], Atmosphere] = {}
    for point, model in zip(points, models, strict=True):
        key = tuple(np.round(point / SAME).tolist())
        if key in seen:
            node = ", ".join(f"{n} = {v:g}" for n, v in zip(labels, point, strict=True))
            raise ConfigError(
                f"Two models have {node or 'the same labels'}: {seen[key].source} and "
                f"{model.source}; keep one, for example with "
                f"AtmosphereGrid(select(models, vmic=2.0, mass=1.0))."
            )
        seen[key] = model


def _mean_abundances(nodes: Sequence[Atmosphere], share: FloatArray) -> dict[str, float]:
    common = [e for e in nodes[0].abundances if all(e in node.abundances for node in nodes)]
    return {e: float(share @ [node.abundances[e] for node in nodes]) for e in common}
