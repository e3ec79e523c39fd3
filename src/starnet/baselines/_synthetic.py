"""The Payne with a synthetic emulator: labels by `fit_spectra`, and what stars correct of them.

The emulator is taken as it is. Training stars, at most `MOST` of them, are fitted too: the median
of what each label is off by is taken away from every label, and what it then scatters beyond the
errors of the fit is added to these in quadrature. No pixel is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starnet.baselines._excess import excess
from starnet.baselines.contract import Fitted, Report
from starnet.errors import LabelError, ModelError
from starnet.spectra import Labels, Spectra, WavelengthGrid

if TYPE_CHECKING:
    from starnet.baselines.payne import Payne

Array = NDArray[Any]
MOST = 200
"""Training stars that are fitted, at most."""
ORDER = 4
"""Of the continuum of each chip."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedEmulator(Fitted):
    """What is added to labels (L,) and, in quadrature, to their errors; the emulator's digest."""

    method: Payne
    constant: Array
    extra: Array
    digest: str

    def predict(self, spectra: Spectra) -> Labels:
        self.check(spectra)
        found = _fitted(self.method, spectra, self.names)
        errors = np.hypot(found.errors, self.extra)
        return Labels(self.names, found.values + self.constant, errors)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {"digest": self.digest}, {"constant": self.constant, "extra": self.extra}

    @classmethod
    def from_state(
        cls,
        method: Payne,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Array],
    ) -> FittedEmulator:
        digest = _digest(method.emulator)
        if digest != settings["digest"]:
            raise ModelError(f"the emulator {method.emulator} is not that of the fit")
        return cls(method=method, names=names, grid=grid, digest=digest, **arrays)


def fit_with_emulator(
    method: Payne, spectra: Spectra, labels: Labels, *, seed: int, report: Report | None
) -> FittedEmulator:
    """What stars correct of the emulator's labels.

    Raises
    ------
    LabelError
        If the emulator lacks a label.
    GridError
        If it does not reach the spectra.
    """
    from starnet.synthesis.emulator import Emulator

    own = Emulator.load(method.emulator).labels
    if strange := [name for name in labels.names if name not in own]:
        raise LabelError(
            f"The emulator {method.emulator} has no label {', '.join(strange)}; it has "
            f"{', '.join(own)}. Leave it out, or learn from stars (emulator: '')."
        )
    constant = np.zeros(len(labels.names))
    more = constant.copy()
    if method.correct:
        rows = np.sort(np.random.default_rng(seed).permutation(len(spectra))[:MOST])
        found = _fitted(method, spectra[rows], labels.names)
        off = labels.values[rows] - found.values
        some = np.isfinite(off).any(axis=0)
        constant[some] = np.nanmedian(off[:, some], axis=0)
        variance = np.nan_to_num(found.errors[:, some]) ** 2
        more[some] = excess((off - constant)[:, some], variance)
        if report:
            report(f"labels of {len(rows)} stars are off by {constant.round(3)}")
    return FittedEmulator(
        method=method, names=labels.names, grid=spectra.grid, constant=constant, extra=more,
        digest=_digest(method.emulator),
    )  # fmt: skip


def _fitted(method: Payne, spectra: Spectra, names: tuple[str, ...]) -> Labels:
    """Labels by the emulator; NaN for spectra without a good pixel."""
    from starnet.inference.fit import fit_spectra

    values = np.full((len(spectra), len(names)), np.nan)
    errors = values.copy()
    rows = np.flatnonzero((~spectra.mask).any(axis=1))
    if rows.size:
        with np.errstate(invalid="ignore"):  # errors of labels that the pixels do not tell: NaN
            fit = fit_spectra(
                method.emulator,
                spectra[rows],
                starts=method.starts,
                rv=False,
                continuum_order=ORDER,
            )
        found = fit.labels.select(names)
        values[rows], errors[rows] = found.values, found.errors
    return Labels(names, values, errors)


def _digest(which: str) -> str:
    from starnet.models.stored import weights_digest
    from starnet.synthesis.emulator import Emulator

    return weights_digest(Emulator.load(which).network)
