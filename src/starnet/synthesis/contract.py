"""The contract of every synthesizer: labels and a wavelength grid in, spectra out.

    synthesizer = build_synthesizer("lte", ...)
    made = synthesizer.synthesize(labels, grid)     # SyntheticSpectra
    made.normalized, made.continuum, made.flux, made.spectra()

A member gives a name, the fine grid it computes on, and `emergent`: the spectrum of resting gas
with neither rotation nor macroturbulence (and `clamped` and `on_pixels` where it must). All else
is done here once: labels are checked, stars are broadened, and the spectrum is put on the grid
that was asked for, through the grid's line spread if it has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import astropy.units as u
import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.errors import ConfigError, GridError, LabelError
from starnet.spectra import Labels, Spectra, WavelengthGrid
from starnet.synthesis.composition import Composition
from starnet.synthesis.observe import Instrument, broaden
from starnet.synthesis.observe.lsf import in_chips

Array = NDArray[Any]
Outside = Literal["error", "clamp"]
FLUX_UNIT = "erg s-1 cm-2 Angstrom-1"


@dataclass(frozen=True, eq=False)
class SyntheticSpectra:
    """N spectra that an engine made.

    Attributes
    ----------
    grid : WavelengthGrid
        P pixels.
    normalized : array (N, P)
        Flux over continuum.
    continuum : array (N, P)
        Flux without lines at the star's surface, erg / s / cm2 / Angstrom. NaN where the engine
        gives only normalised flux.
    labels : Labels
        Of the N stars, as they were used: what was clamped has its clamped value.
    provenance : mapping
        Engine, version and inputs, ready for JSON.
    """

    grid: WavelengthGrid
    normalized: Array
    continuum: Array
    labels: Labels
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flux(self) -> Array:
        """Absolute flux at the star's surface (N, P), erg / s / cm2 / Angstrom."""
        return self.normalized * self.continuum

    def __len__(self) -> int:
        return len(self.normalized)

    def spectra(self, ids: Any = None, *, absolute: bool = False) -> Spectra:
        """As `Spectra` at rest, with the labels in ``meta``; noiseless, so their error is unknown.

        Pixels outside the chips of the grid are masked.

        Parameters
        ----------
        ids : sequence of str, optional
            Name of each spectrum. Default: ``synth-0`` and on.
        absolute : bool
            Flux at the surface instead of flux over continuum.
        """
        names = [f"synth-{i}" for i in range(len(self))] if ids is None else [str(i) for i in ids]
        columns = dict(zip(self.labels.names, self.labels.values.T, strict=True))
        flux = self.flux if absolute else self.normalized
        return Spectra(
            self.grid,
            flux,
            mask=np.broadcast_to(~in_chips(self.grid), flux.shape),
            frame="rest",
            meta=Table({"id": names, **columns}),
            flux_unit=u.Unit(FLUX_UNIT if absolute else ""),
        )


class Synthesizer(ABC):
    """Labels -> spectrum. A member gives `name`, `fine_grid` and `emergent`; nothing else.

    Labels are ``teff``, ``logg`` and ``fe_h`` (or ``m_h``), and any of ``vmic``, ``alpha_m``,
    ``x_h`` and ``x_fe`` of an element, ``vmac``, ``vsini`` (see `Composition`).
    """

    name: ClassVar[str]

    @abstractmethod
    def fine_grid(self, grid: WavelengthGrid) -> WavelengthGrid:
        """The vacuum grid, even in the logarithm of wavelength, that covers ``grid`` amply.

        Raises `GridError` where the engine or its inputs do not reach.
        """

    @abstractmethod
    def emergent(
        self, labels: Labels, grid: WavelengthGrid, *, outside: Outside
    ) -> tuple[Array, Array]:
        """Normalised flux and continuum, each (N, P), on a grid that `fine_grid` gave.

        Labels are complete. Those outside the range of the atmospheres raise `LabelError`, or are
        moved to its edge with ``outside="clamp"``.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Engine, version and inputs, ready for JSON: what makes a result repeatable."""

    def clamped(self, labels: Labels) -> Labels:
        """The labels that ``outside="clamp"`` uses; a member with a hull overrides this."""
        return labels

    def accepts(self, names: tuple[str, ...]) -> None:
        """Raises `LabelError` if labels of these names cannot be synthesized by this engine."""
        Composition.of(names)

    def synthesize(
        self,
        labels: Labels,
        grid: WavelengthGrid,
        *,
        outside: Outside = "error",
        progress: Callable[[int], None] | None = None,
        batch: int = 16,
    ) -> SyntheticSpectra:
        """Spectra of N stars on a grid.

        Parameters
        ----------
        labels : Labels
            Of N stars, none missing.
        grid : WavelengthGrid
            Pixels at rest, in air or vacuum. With a line spread (``grid.lsf``) the spectrum is
            convolved to it; without, it is that of the star itself, averaged over the pixels.
        outside : "error" or "clamp"
            What to do with labels outside the range of the atmospheres.
        progress : callable, optional
            Told the number of stars done after each batch.
        batch : int
            Stars that are computed together.

        Raises
        ------
        LabelError
            If a label is unknown, NaN, or outside.
        GridError
            If the grid is outside what the inputs cover.
        """
        check_labels(labels)
        self.accepts(labels.names)
        if outside not in ("error", "clamp"):
            raise ConfigError(f'outside must be "error" or "clamp"; received {outside!r}.')
        fine = self.fine_grid(grid)
        parts = []
        for start in range(0, len(labels), batch):
            some = labels[start : start + batch]
            parts.append(self._finished(some, fine, grid, outside))
            if progress:
                progress(min(start + batch, len(labels)))
        normalized, continuum = (np.concatenate(column) for column in zip(*parts, strict=True))
        used = self.clamped(labels) if outside == "clamp" else labels
        return SyntheticSpectra(grid, normalized, continuum, used, self.describe())

    def _finished(
        self, labels: Labels, fine: WavelengthGrid, grid: WavelengthGrid, outside: Outside
    ) -> tuple[Array, Array]:
        normalized, continuum = self.emergent(labels, fine, outside=outside)
        still = np.zeros(len(labels))
        spin, macro = (
            labels.column(name) if name in labels.names else still for name in ("vsini", "vmac")
        )
        if spin.any() or macro.any():
            normalized = broaden(normalized, fine, vsini=spin, vmac=macro)
        if fine is grid:
            return normalized, continuum
        wave = grid.to_vacuum().wavelength
        smooth = np.stack([np.interp(wave, fine.wavelength, row) for row in continuum])
        return self.on_pixels(normalized, fine, grid), smooth

    def on_pixels(self, flux: Array, fine: WavelengthGrid, grid: WavelengthGrid) -> Array:
        """Normalised flux (N, Q) on the grid asked for, of flux (N, P) on the fine grid.

        An engine whose fine grid has a line spread of its own overrides this.
        """
        return _on_pixels(flux, fine, grid)


def _on_pixels(flux: Array, fine: WavelengthGrid, grid: WavelengthGrid) -> Array:
    if grid.lsf is not None:
        return Instrument("grid", grid).project(Spectra(fine, flux, frame="rest")).flux
    below = np.concatenate([np.zeros((len(flux), 1)), _cumulative(flux, fine.wavelength)], axis=1)
    vacuum, out = grid.to_vacuum(), np.zeros((len(flux), grid.n_pixels))
    for first, stop in grid.chips:  # pixels end with their chip
        if stop - first < 2:
            wave = vacuum.wavelength[first:stop]
            out[:, first:stop] = [np.interp(wave, fine.wavelength, row) for row in flux]
            continue
        edges = vacuum.select(slice(first, stop)).edges
        at = np.stack([np.interp(edges, fine.wavelength, row) for row in below])
        out[:, first:stop] = np.diff(at, axis=1) / np.diff(edges)
    return out


def _cumulative(flux: Array, wave: Array) -> Array:
    return np.cumsum(0.5 * (flux[:, 1:] + flux[:, :-1]) * np.diff(wave), axis=1)


def check_labels(labels: Labels) -> None:
    """Raises `LabelError` if a label is missing anywhere, or there is no star."""
    bad = np.flatnonzero(~labels.complete)
    if bad.size:
        row = labels.values[bad[0]]
        which = [n for n, v in zip(labels.names, row, strict=True) if not np.isfinite(v)]
        raise LabelError(
            f"A synthesis needs every label; {bad.size} of {len(labels)} stars lack one, the first "
            f"is star {bad[0]}, which has no {', '.join(which)}. Fill it in or leave it out; "
            "numbers that no star has, and sentinels such as 9999, count as missing."
        )
    if not len(labels):
        raise LabelError("A synthesis needs at least one star; received none.")
    for name in ("vmic", "vmac", "vsini"):
        if name in labels.names and np.any(labels.column(name) < 0):
            raise LabelError(
                f"{name} must not be negative; the smallest is {labels.column(name).min():g} km/s."
            )


def log_even(grid: WavelengthGrid, resolution: float, *, margin: float = 0.002) -> WavelengthGrid:
    """A vacuum grid even in the logarithm of wavelength that covers ``grid`` with a margin.

    Parameters
    ----------
    resolution : float
        wavelength / pixel.
    margin : float
        Fraction of the wavelength added at both ends (0.002 is 600 km/s).

    A vacuum grid that is even already (to a thousandth of a pixel) and at least half as fine is
    returned as it is, if it has no line spread: spectra are then sampled on it, not averaged.
    """
    if grid.medium == "vacuum" and grid.lsf is None and grid.n_pixels >= 16:
        steps = np.diff(np.log(grid.wavelength))
        if np.ptp(steps) < 1e-3 * steps.mean() and steps.mean() * resolution <= 2.0:
            return grid
    wave = grid.to_vacuum().wavelength
    if not resolution > 0:
        raise GridError(f"resolution must be above 0; received {resolution}.")
    start, stop = np.log(wave[0]) - margin, np.log(wave[-1]) + margin
    n = int(np.ceil((stop - start) * resolution)) + 1
    return WavelengthGrid(np.exp(start + np.arange(n) / resolution), "vacuum")


_FACTORIES: dict[str, Callable[..., Synthesizer]] = {}


def register(name: str, factory: Callable[..., Synthesizer]) -> None:
    """Makes an engine known to `build_synthesizer`."""
    _FACTORIES[name] = factory


def engine_names() -> tuple[str, ...]:
    """Names of the engines."""
    return tuple(_FACTORIES)


def build_synthesizer(name: str, **settings: Any) -> Synthesizer:
    """An engine by name, with its own settings.

    Raises
    ------
    ConfigError
        If there is no engine of that name or it does not take the settings.
    """
    if name not in _FACTORIES:
        raise ConfigError(f"There is no engine {name!r}; there are {', '.join(_FACTORIES)}.")
    try:
        return _FACTORIES[name](**settings)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ConfigError(
            f"The engine {name} does not take these settings, or lacks one: {error}."
        ) from error
