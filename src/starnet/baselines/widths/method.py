"""Equivalent widths with excitation and ionisation balance, as a method behind the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.contract import Fitted, Method, Report, register, usable
from starnet.baselines.widths.curves import LABELS, Curves, shipped_curves
from starnet.baselines.widths.measure import measure
from starnet.errors import LabelError, TrainingError
from starnet.spectra import Labels, Spectra, WavelengthGrid

if TYPE_CHECKING:
    from starnet.baselines.widths.solve import Balance

Array = NDArray[Any]
WIDEST = 0.40
"""Full width at half maximum of the line spread, Angstrom at 6000 Angstrom, at most."""
MOST_STEP = 0.15
"""Angstrom between two pixels, at most."""
REACHED = {"Fe I": 20, "Fe II": 3}
"""Lines that the pixels must reach."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedWidths(Fitted):
    """Zero points (n,) of the lines, dex."""

    method: EquivalentWidths
    zero: Array

    def predict(self, spectra: Spectra) -> Labels:
        self.check(spectra)
        balance, _ = self.balance(spectra)
        at = [LABELS.index(name) for name in self.names]
        return Labels(self.names, balance.values[:, at], balance.errors[:, at])

    def balance(self, spectra: Spectra) -> tuple[Balance, Array]:
        """All that the lines say, and their ln(width / wavelength) (N, n)."""
        from starnet.baselines.widths.solve import solve

        curves = self.method.curves()
        widths = measure(spectra, curves.wavelength, curves.windows)
        return solve(widths, curves, self.zero), widths.log_width

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {}, {"zero": self.zero}

    @classmethod
    def from_state(
        cls,
        method: EquivalentWidths,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Array],
    ) -> FittedWidths:
        if len(arrays["zero"]) != len(method.curves()):
            raise ValueError("its lines are not those of this version")
        return cls(method=method, names=names, grid=grid, zero=arrays["zero"])


@register(FittedWidths)
@dataclass(frozen=True, kw_only=True)
class EquivalentWidths(Method):
    """The classical analysis of lines of iron; optical spectra of high resolution only.

    Attributes
    ----------
    curves_file : str
        Curves of growth (`Curves.save`). Empty: those of the package.
    zero_points : bool
        Whether each line has a zero point, the median over the training stars of what it is off
        at their labels, as spectroscopists take it from the Sun. Nothing else is learnt.
    """

    kind: ClassVar[str] = "equivalent-widths"
    fewest: ClassVar[int] = 2
    curves_file: str = ""
    zero_points: bool = True

    def curves(self) -> Curves:
        """The curves of growth."""
        return Curves.read(self.curves_file) if self.curves_file else shipped_curves()

    def fit(
        self, spectra: Spectra, labels: Labels, *, seed: int = 0, report: Report | None = None
    ) -> FittedWidths:
        rows, labels = usable(spectra, labels, self)
        if strange := [name for name in labels.names if name not in LABELS]:
            raise LabelError(
                f"The method {self.kind} gives {', '.join(LABELS)}; received "
                f"{', '.join(strange)}. Leave these out, or take another method."
            )
        curves = self.curves()
        suitable(spectra.grid, curves)
        zero = np.zeros(len(curves))
        if self.zero_points:
            zero = _zero_points(_off(spectra[rows], labels, curves))
            if report:
                report(f"{int((zero != 0).sum())} lines have zero points, rms {zero.std():.3f} dex")
        return FittedWidths(method=self, names=labels.names, grid=spectra.grid, zero=zero)


def suitable(grid: WavelengthGrid, curves: Curves) -> None:
    """Raises `TrainingError` if lines cannot be measured on these pixels."""
    wave = grid.to_vacuum().wavelength
    place = np.searchsorted(wave, curves.wavelength)
    inside = (place > 10) & (place < len(wave) - 10)
    step = np.gradient(wave)[np.clip(place, 0, len(wave) - 1)] if len(wave) > 1 else np.inf
    inside &= step <= MOST_STEP
    if grid.lsf is not None:
        fwhm = np.interp(curves.wavelength, wave, grid.lsf.fwhm_at(grid.wavelength))
        inside &= fwhm <= WIDEST * curves.wavelength / 6000
    n = {
        "Fe I": int((inside & ~curves.ionised).sum()),
        "Fe II": int((inside & curves.ionised).sum()),
    }
    if any(n[ion] < REACHED[ion] for ion in n):
        raise TrainingError(
            f"Equivalent widths need {REACHED['Fe I']} lines of Fe I and {REACHED['Fe II']} of "
            f"Fe II between {curves.wavelength[0]:.0f} and {curves.wavelength[-1]:.0f} A, resolved "
            f"(line spread at most {WIDEST} A, pixels at most {MOST_STEP} A); {grid.describe()} "
            f"has {n['Fe I']} and {n['Fe II']}. Take another method for these spectra."
        )


def _off(spectra: Spectra, labels: Labels, curves: Curves) -> Array:
    """What each line is off by (N, n) at the labels, dex, about the abundance of all lines."""
    from starnet.baselines.widths.solve import IRON, solve

    widths = measure(spectra, curves.wavelength, curves.windows)
    balance = solve(widths, curves, np.zeros(len(curves)), _known(labels))
    return balance.abundance - balance.values[:, IRON : IRON + 1]


def _known(labels: Labels) -> Array:
    """Labels (N, 4) to hold: vmic that is not given follows from logg."""
    from starnet.synthesis.composition import vmic_relation

    out = np.full((len(labels), len(LABELS)), np.nan)
    for i, name in enumerate(LABELS):
        if name in labels.names:
            out[:, i] = labels.column(name)
    blank = np.isnan(out[:, -1])
    out[blank, -1] = vmic_relation(out[blank, LABELS.index("logg")])
    return out


def _zero_points(off: Array) -> Array:
    """Medians (n,) of what lines are off (N, n), held back where few stars have the line."""
    count = np.isfinite(off).sum(axis=0)
    zero = np.zeros(off.shape[1])
    seen = count > 0
    zero[seen] = np.nanmedian(off[:, seen], axis=0) * count[seen] / (count[seen] + 1)
    return zero
