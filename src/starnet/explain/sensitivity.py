"""Where a network looks: derivatives of its labels by each pixel, and integrated gradients.

A map has one row for each label and one column for each pixel that the network sees. Of
``how="slope"`` it is d label / d flux: what the label would do if the flux rose by 1 (in units of
the chip's median, as the network takes it). Of ``how="path"`` it is the integrated gradient from a
baseline (Sundararajan et al. 2017, arXiv 1703.01365): what each pixel did to the label on the way
from the baseline to the star; a star's map then adds up to its label less the baseline's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError
from starnet.spectra import Labels, Spectra, WavelengthGrid

if TYPE_CHECKING:
    from starnet.artifact import Model

Array = NDArray[Any]
How = Literal["slope", "path"]
Progress = Callable[[int], None]
EDGES: Mapping[str, tuple[float, ...]] = {
    "teff": (4500.0, 5200.0),
    "logg": (2.0, 3.6),
    "fe_h": (-0.7, -0.2),
}
"""Where bins of predicted labels are parted, by default."""
STEPS = 16
"""Points on the path of integrated gradients (Gauss and Legendre)."""
BATCH = 16


@dataclass(frozen=True, eq=False)
class Maps:
    """Mean maps of the stars in B bins; the first bin has all of them.

    Attributes
    ----------
    grid : WavelengthGrid
        P pixels, as the network sees them.
    names : tuple of str
        L labels.
    bins : tuple of str
        What the stars of each bin have in common.
    count : array (B,)
        Stars in each.
    mean, error : array (B, L, P)
        Mean with its sign, and the error of the mean, from the scatter over the stars; in units
        of the label. A pixel counts for the stars in which it is not masked; NaN where there is
        none, and errors where there is one only.
    flux : array (B, P)
        Mean flux over the chip's median.
    how : "slope" or "path"
    """

    grid: WavelengthGrid
    names: tuple[str, ...]
    bins: tuple[str, ...]
    count: NDArray[np.int64]
    mean: Array
    error: Array
    flux: Array
    how: How

    def of(self, label: str, which: int | str = 0) -> tuple[Array, Array]:
        """Mean and error (P,) of one label in one bin."""
        row = self.bins.index(which) if isinstance(which, str) else which
        column = self.names.index(label)
        return self.mean[row, column], self.error[row, column]


def sensitivity(
    model: Model,
    spectra: Spectra,
    *,
    how: How = "slope",
    edges: Mapping[str, Sequence[float]] | None = None,
    baseline: str | ArrayLike = "mean",
    keep: Mapping[str, ArrayLike] | None = None,
    progress: Progress | None = None,
) -> Maps:
    """Maps of spectra, averaged in bins of their predicted labels.

    Parameters
    ----------
    model : Model
    spectra : Spectra
        N spectra as the model takes them; rows without a usable pixel are left out.
    how : "slope" or "path"
    edges : mapping of label to edges
        Bins are between them, each label by itself. Default: `EDGES`.
    baseline : "mean", "continuum" or array (P,)
        Of ``how="path"``: the mean of these spectra, flux 1 everywhere, or a spectrum on the
        network's pixels.
    keep : mapping of label to bool array (N,), optional
        Stars that count for a label, such as those in which it is measured. Default: all.
    progress : callable, optional
        Told the number of stars done.

    Raises
    ------
    ConfigError
        If ``how`` or the baseline is unknown, or edges do not rise.
    DataError
        If there is no spectrum with a usable pixel, or shapes do not fit.
    """
    prepared, rows = usable(model, spectra)
    cuts = _checked(EDGES if edges is None else edges, model.labels)
    counted = _counted(model.labels, keep, len(spectra))[rows]
    sums: _Sums | None = None
    done = 0
    for part, labels, values in attributions(model, prepared, how=how, baseline=baseline):
        member = _members(labels, cuts)  # (n, B)
        if sums is None:
            sums = _Sums.zeros(member.shape[1], *values.shape[1:])
        sums.add(prepared[part], member, values, counted[part])
        done += len(values)
        if progress:
            progress(done)
    assert sums is not None
    count, mean, error, flux = sums.finish()
    titles = ("all", *(title for title, _, _, _ in cuts))
    full = np.flatnonzero(count > 0)
    return Maps(
        prepared.grid, model.labels, tuple(titles[i] for i in full), count[full], mean[full],
        error[full], flux[full], how,
    )  # fmt: skip


def usable(model: Model, spectra: Spectra) -> tuple[Spectra, NDArray[np.int64]]:
    """Spectra as the network sees them, without those that have no pixel, and their rows.

    Raises
    ------
    DataError
        If none is left.
    """
    prepared = model.prepare(spectra)
    rows = np.flatnonzero(~np.all(prepared.mask, axis=1))
    if not rows.size:
        raise DataError(
            f"Maps need at least one spectrum with a pixel that is not masked; received "
            f"{len(spectra)} spectra without any."
        )
    return prepared[rows], rows


def attributions(
    model: Model,
    prepared: Spectra,
    *,
    how: How = "slope",
    baseline: str | ArrayLike = "mean",
    batch: int = BATCH,
) -> Iterator[tuple[slice, Labels, Array]]:
    """Batches of prepared spectra: rows, predicted labels, and maps (n, L, P) in label units.

    Masked pixels of a map are NaN for slopes and 0 on a path.
    """
    if how not in ("slope", "path"):
        raise ConfigError(f'how must be "slope" or "path"; received {how!r}.')
    start = baseline_flux(prepared, baseline) if how == "path" else None
    for first in range(0, len(prepared), batch):
        rows = slice(first, first + batch)
        some = prepared[rows]
        inputs = model.inputs(some)
        scaled = _outputs(model, inputs)
        labels = Labels(model.labels, model.scale.inverse(scaled))
        if start is None:
            values = slopes(model, inputs, scaled)
            values = np.where(some.mask[:, None], np.nan, values)
        else:
            values = path(model, inputs, np.where(some.mask, some.flux, start))
        yield rows, labels, values


def slopes(model: Model, inputs: Array, scaled: Array) -> Array:
    """d label / d flux (N, L, P) of network inputs (N, C, P), whose scaled labels are known."""
    from starnet.inference.propagation import label_jacobian

    factor = model.scale.inverse_derivative(scaled)
    rows = label_jacobian(model, inputs, device=_device(model))
    return np.asarray(rows, dtype=float) * factor[:, :, None]


def path(model: Model, inputs: Array, baseline: Array, steps: int = STEPS) -> Array:
    """Integrated gradients (N, L, P), in label units, from a baseline (N, P) to the inputs.

    Only the flux changes on the way. Of labels on a logarithmic scale the difference of the ends
    is shared out among the pixels as that of its logarithm.
    """
    from starnet.inference.propagation import label_jacobian

    place, device = model.channels.index("flux"), _device(model)
    here = inputs[:, place].astype(float)
    total = np.zeros((len(inputs), len(model.labels), here.shape[1]))
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    for node, weight in zip(0.5 * (nodes + 1), 0.5 * weights, strict=True):
        at = inputs.copy()
        at[:, place] = baseline + node * (here - baseline)
        total += weight * np.asarray(label_jacobian(model, at, device=device), dtype=float)
    ends = inputs.copy()
    ends[:, place] = baseline
    return total * (here - baseline)[:, None] * _secant(model, inputs, ends)[:, :, None]


def baseline_flux(prepared: Spectra, baseline: str | ArrayLike) -> Array:
    """The flux (P,) where a path begins."""
    n = prepared.grid.n_pixels
    if isinstance(baseline, str):
        if baseline == "continuum":
            return np.ones(n)
        if baseline == "mean":
            good = ~prepared.mask
            total = np.sum(np.where(good, prepared.flux, 0.0), axis=0)
            return np.where(good.any(axis=0), total / np.maximum(good.sum(axis=0), 1), 1.0)
        raise ConfigError(
            f'baseline must be "mean", "continuum" or a spectrum; received {baseline!r}.'
        )
    flux = np.asarray(baseline, dtype=float)
    if flux.shape != (n,) or not np.isfinite(flux).all():
        raise DataError(
            f"A baseline must be finite and have shape ({n},), the pixels that the network sees; "
            f"received {flux.shape}."
        )
    return flux


def _secant(model: Model, inputs: Array, ends: Array) -> Array:
    """Label units over scaled units between two spectra, (N, L)."""
    here, there = _outputs(model, inputs), _outputs(model, ends)
    gap = here - there
    small = np.abs(gap) < 1e-6
    rise = model.scale.inverse(here) - model.scale.inverse(there)
    return np.where(small, model.scale.inverse_derivative(here), rise / np.where(small, 1.0, gap))


def _outputs(model: Model, inputs: Array) -> Array:
    """Scaled labels (N, L); without inference mode, whose tensors would have no derivatives."""
    import torch

    network, was_training = model.network, model.network.training
    network.eval()
    try:
        with torch.no_grad():
            found = network(torch.from_numpy(np.array(inputs)).to(_device(model)))
    finally:
        network.train(was_training)
    return found[:, : len(model.labels)].cpu().double().numpy()


def _device(model: Model) -> str:
    return str(next((p.device for p in model.network.parameters()), "cpu"))


@dataclass
class _Sums:
    """Sums over the stars of each bin; the only thing here that grows as it goes."""

    count: NDArray[np.int64]
    weight: Array  # (B, L, P)
    first: Array
    second: Array
    flux: Array  # (B, P)
    seen: Array

    @classmethod
    def zeros(cls, bins: int, labels: int, pixels: int) -> _Sums:
        cube = (np.zeros((bins, labels, pixels), dtype=np.float64) for _ in range(3))
        flat = (np.zeros((bins, pixels)) for _ in range(2))
        return cls(np.zeros(bins, dtype=np.int64), *cube, *flat)

    def add(self, prepared: Spectra, member: Array, values: Array, counted: Array) -> None:
        known = np.isfinite(values) & counted[:, :, None]
        value = np.where(known, values, 0.0)
        good = ~prepared.mask
        for b in range(member.shape[1]):
            rows = member[:, b]
            self.count[b] += np.count_nonzero(rows)
            self.weight[b] += known[rows].sum(axis=0)
            self.first[b] += value[rows].sum(axis=0)
            self.second[b] += np.square(value[rows]).sum(axis=0)
            self.flux[b] += np.where(good, prepared.flux, 0.0)[rows].sum(axis=0)
            self.seen[b] += good[rows].sum(axis=0)

    def finish(self) -> tuple[NDArray[np.int64], Array, Array, Array]:
        n = np.where(self.weight > 0, self.weight, np.nan)
        mean = self.first / n
        variance = np.maximum(self.second / n - mean**2, 0.0)
        error = np.sqrt(variance / np.where(n > 1, n - 1, np.nan))
        return self.count, mean, error, self.flux / np.where(self.seen > 0, self.seen, np.nan)


Cut = tuple[str, str, float, float]


def _checked(edges: Mapping[str, Sequence[float]], labels: tuple[str, ...]) -> list[Cut]:
    """Title, label, from and to of each bin; labels that the model lacks have none."""
    out: list[Cut] = []
    for name, values in edges.items():
        inner = [float(v) for v in values]
        if not np.all(np.diff(inner) > 0) or not np.isfinite(inner).all():
            raise ConfigError(f"Edges of bins must rise; those of {name} are {inner}.")
        if name in labels and inner:
            ends = [-np.inf, *inner, np.inf]
            out += [(_title(name, a, b), name, a, b) for a, b in itertools.pairwise(ends)]
    return out


def _title(name: str, low: float, high: float) -> str:
    if np.isinf(low):
        return f"{name} < {high:g}"
    return f"{name} > {low:g}" if np.isinf(high) else f"{name} {low:g} to {high:g}"


def _members(labels: Labels, cuts: list[Cut]) -> NDArray[np.bool_]:
    columns = [np.ones(len(labels), dtype=bool)]
    for _, name, low, high in cuts:
        values = labels.column(name)
        columns.append((values >= low) & (values < high))
    return np.stack(columns, axis=1)


def _counted(
    names: tuple[str, ...], keep: Mapping[str, ArrayLike] | None, n: int
) -> NDArray[np.bool_]:
    out = np.ones((n, len(names)), dtype=bool)
    for name, rows in (keep or {}).items():
        chosen = np.asarray(rows, dtype=bool)
        if name not in names or chosen.shape != (n,):
            raise DataError(
                f"keep must give, for labels of the model, which of the {n} stars count; "
                f"received {chosen.shape} for {name!r}."
            )
        out[:, names.index(name)] = chosen
    return out


def select_bins(maps: Maps, which: Sequence[int]) -> Maps:
    """Some of the bins."""
    rows = list(which)
    return replace(
        maps, bins=tuple(maps.bins[i] for i in rows), count=maps.count[rows],
        mean=maps.mean[rows], error=maps.error[rows], flux=maps.flux[rows],
    )  # fmt: skip
