"""The observer: clean spectra in, spectra as a survey delivers them out.

The order is that of nature: the star's residual velocity and the instrument's line spread, the
errors of continuum and telluric correction, photons of star and sky and read noise, the residuals
of the sky, bad pixels. Quoted errors describe the noise and the error floor, which both are in
the flux; whatever else is done to the flux they do not know of, and a network must learn to live
with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from starnet.errors import ConfigError, DataError
from starnet.preprocess import DopplerShift, LSFJitter
from starnet.spectra import Spectra, WavelengthGrid
from starnet.synthesis.observe._described import Described, Interval, interval, number, require
from starnet.synthesis.observe.broadening import check_clean
from starnet.synthesis.observe.effects import (
    BadPixels,
    ContinuumError,
    Record,
    Ripples,
    SkyLines,
    Telluric,
)
from starnet.synthesis.observe.instrument import Instrument

Array = NDArray[Any]
EFFECTS: dict[str, type[Described]] = {
    "sky": SkyLines,
    "telluric": Telluric,
    "continuum": ContinuumError,
    "ripples": Ripples,
    "pixels": BadPixels,
}
NARROWEST, WIDEST = 0.5, 2.0  # factors on the line spread beyond which draws are cut


@dataclass(frozen=True, eq=False)
class Circumstances:
    """What happens to one recorded spectrum: ``flux * factor + added``, noise of ``sigma``, mask.

    Attributes
    ----------
    factor, added, sigma, mask : array (Q,)
    """

    factor: Array
    added: Array
    sigma: Array
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Observer:
    """Observes clean spectra with an instrument, the same way each time it is asked.

    Every spectrum has random streams of its own, one for each effect, that follow from the seed,
    its ``id`` and the number of the visit. So its neighbours in the batch do not matter, and one
    effect left out leaves the others as they were.

    Parameters
    ----------
    instrument : Instrument
    seed : int
    snr : float or (low, high)
        Median signal to noise per pixel, noise of photons (star and sky) and read-out; drawn
        evenly in its logarithm.
    error_floor : float
        Further independent noise as a fraction of the flux, quoted too: 0.005 for APOGEE.
    read_fraction : float
        Share of the variance that does not depend on flux, where the flux is at its median.
    rv_sigma : float
        Standard deviation of the residual velocity, km/s.
    lsf_sigma : float
        Standard deviation of the factor on the width of the line spread. For spectra that are on
        the instrument's pixels already only factors above 1 take effect.
    velocity : float
        Standard deviation of the star's velocity, km/s, by which lines of sky and atmosphere are
        out of place in the rest frame. None of it in the observed frame.
    sky, telluric, continuum, pixels, ripples : optional
        The other effects; None leaves one out, as ripples are by default.

    Raises
    ------
    ConfigError
        If a parameter is out of its range.
    """

    instrument: Instrument
    seed: int = 0
    snr: Interval = (30.0, 300.0)
    error_floor: float = 0.005
    read_fraction: float = 0.1
    rv_sigma: float = 0.3
    lsf_sigma: float = 0.03
    velocity: float = 40.0
    sky: SkyLines | None = field(default_factory=SkyLines)
    telluric: Telluric | None = field(default_factory=Telluric)
    continuum: ContinuumError | None = field(default_factory=ContinuumError)
    pixels: BadPixels | None = field(default_factory=BadPixels)
    ripples: Ripples | None = None

    def __post_init__(self) -> None:
        whole = isinstance(self.seed, int | np.integer) and self.seed >= 0
        require(whole, "Observer", "seed must be an integer of at least 0", self.seed)
        object.__setattr__(self, "snr", interval("Observer", "snr", self.snr, positive=True))
        number("Observer", "error_floor", self.error_floor, 0, 1)
        number("Observer", "read_fraction", self.read_fraction, 0, 1)
        number("Observer", "rv_sigma", self.rv_sigma, 0, 1000)
        number("Observer", "lsf_sigma", self.lsf_sigma, 0, 0.5)
        number("Observer", "velocity", self.velocity, 0, 3000)
        made = isinstance(self.instrument, Instrument)
        require(made, "Observer", "instrument must be an Instrument", self.instrument)
        for name, kind in EFFECTS.items():
            value = getattr(self, name)
            must = f"{name} must be {kind.__name__}(...) or None"
            require(value is None or isinstance(value, kind), "Observer", must, value)

    @classmethod
    def noise_only(cls, instrument: Instrument, snr: Interval, seed: int = 0) -> Observer:
        """Photon noise alone, of a given signal to noise: for experiments and limits."""
        off: Any = dict.fromkeys(EFFECTS)
        plain = {"error_floor": 0.0, "read_fraction": 0.0, "rv_sigma": 0.0, "lsf_sigma": 0.0}
        return cls(instrument, seed, snr, **plain, **off)

    def __call__(
        self, spectra: Spectra, *, snr: ArrayLike | None = None, visit: int = 0
    ) -> Spectra:
        """Observed spectra on the instrument's grid, with errors, masks and records.

        Parameters
        ----------
        spectra : Spectra
            N clean spectra, normalised or absolute, on a fine grid or on the instrument's. The
            ``id`` of each names its random stream: give every spectrum of a set its own.
        snr : float or array (N,), optional
            Signal to noise for each spectrum instead of the observer's distribution.
        visit : int
            Another number is another observation of the same stars.

        Returns
        -------
        Spectra
            In the same frame and unit; ``meta`` has the columns of the input and what was done:
            ``snr`` (median, as quoted), ``snr_photon`` (as asked for), ``rv_residual`` and
            ``sky_velocity`` (km/s), ``lsf_width``, ``masked_fraction``, ``visit``,
            ``observer_seed``, ``instrument``, and what the effects record.

        Raises
        ------
        DataError
            If spectra are not finite and unmasked everywhere, or have no positive flux.
        GridError
            If they do not cover the instrument, are too broad, or too coarse.
        ConfigError
            If a signal to noise is not positive and finite, or their number does not fit.
        """
        check_clean(spectra)
        if not len(spectra):
            raise DataError("There are no spectra to observe: at least one is needed.")
        require(isinstance(visit, int) and visit >= 0, "Observer", "visit must be >= 0", visit)
        wanted = self._snr(snr, spectra, visit)
        seen, records = self._recorded(spectra, visit)
        moving = self.velocity if seen.frame == "rest" else 0.0
        rows = []
        for i, (name, record) in enumerate(zip(seen.ids, records, strict=True)):
            velocity = moving * self.stream(name, visit, "velocity").standard_normal()
            record |= {"snr_photon": float(wanted[i]), "sky_velocity": float(velocity)}
            row = seen.grid, seen.flux[i].astype(float), ~seen.mask[i]
            rows.append(self._one(*row, name, visit, record))
        flux, sigma, mask = (np.stack(part) for part in zip(*rows, strict=True))
        out = seen.replace(flux=flux, ivar=np.where(mask, 0.0, sigma**-2.0), mask=mask)
        return out.replace(meta=self._meta(out, records, visit))

    def stream(self, name: str, visit: int, effect: str) -> np.random.Generator:
        """The generator of one effect on one spectrum."""
        digest = sha256(f"{name}\n{visit}\n{effect}".encode()).digest()
        words = np.frombuffer(digest[:16], dtype="<u4").tolist()
        return np.random.default_rng([int(self.seed), *words])

    def _snr(self, snr: ArrayLike | None, spectra: Spectra, visit: int) -> Array:
        n = len(spectra)
        if snr is None:
            low, high = np.log(np.asarray(self.snr, dtype=float))
            draws = [self.stream(name, visit, "snr").uniform(low, high) for name in spectra.ids]
            return np.exp(draws)
        given = np.asarray(snr, dtype=float)
        fits = given.shape in ((), (n,))
        require(fits, "Observer", f"snr must be a number or one for each of {n}", given.shape)
        bad = ~(np.isfinite(given) & (given > 0))
        if bad.any():
            raise ConfigError(
                f"Signal to noise must be positive and finite; received {given[bad].tolist()[:3]} "
                f"among {given.size} value(s)."
            )
        return np.broadcast_to(given, (n,))

    def _recorded(self, spectra: Spectra, visit: int) -> tuple[Spectra, list[Record]]:
        """Shifted by residual velocities, through the line spread, on the instrument's grid."""
        own = self.instrument.is_own(spectra.grid)
        flux, records = np.array(spectra.flux), []
        for i, name in enumerate(spectra.ids):
            velocity = float(self.rv_sigma * self.stream(name, visit, "rv").standard_normal())
            draw = float(self.lsf_sigma * self.stream(name, visit, "lsf").standard_normal())
            width = float(np.clip(1 + draw, max(NARROWEST, 1.0 if own else 0.0), WIDEST))
            records.append({"rv_residual": velocity, "lsf_width": width})
            if velocity:
                moved = DopplerShift(velocity)(Spectra(spectra.grid, spectra.flux[i]))
                flux[i] = np.where(moved.mask[0], flux[i], moved.flux[0])  # ends stay
        widths = [record["lsf_width"] for record in records]
        seen = self.instrument.project(spectra.replace(flux=flux), widths)
        return (_widened(seen, widths) if own else seen), records

    def _one(
        self, grid: WavelengthGrid, flux: Array, good: Array, name: str, visit: int, record: Record
    ) -> tuple[Array, Array, Array]:
        """Flux, error and mask (Q,) of one spectrum; what is drawn goes to ``record``."""
        drawn = self.circumstances(grid, flux, good, name, visit, record)
        noise = self.stream(name, visit, "noise").standard_normal(flux.size)
        return flux * drawn.factor + drawn.added + noise * drawn.sigma, drawn.sigma, drawn.mask

    def circumstances(
        self, grid: WavelengthGrid, flux: Array, good: Array, name: str, visit: int, record: Record
    ) -> Circumstances:
        """All that happens to one recorded spectrum but its noise.

        Parameters
        ----------
        grid : WavelengthGrid
            Of the instrument.
        flux : array (Q,)
            Recorded flux of the star, clean.
        good : array (Q,)
            Pixels that the instrument has.
        name, visit
            Of the random streams.
        record : dict
            Has ``snr_photon`` and ``sky_velocity`` (km/s); what is drawn is added.
        """
        velocity = record["sky_velocity"]
        factor, added = np.ones(flux.size), np.zeros(flux.size)
        if self.continuum is not None:
            part, drawn = self.continuum.draw(self.stream(name, visit, "continuum"), grid)
            factor *= part
            record |= drawn
        if self.ripples is not None:
            part, drawn = self.ripples.draw(self.stream(name, visit, "ripples"), grid)
            factor *= part
            record |= drawn
        if self.telluric is not None:
            part, drawn = self.telluric.draw(self.stream(name, visit, "telluric"), grid, velocity)
            factor *= part
            record |= drawn
        seen = flux * factor
        level = _level(seen, good, name)
        sky = np.zeros(flux.size)
        if self.sky is not None:
            rng = self.stream(name, visit, "sky")
            sky, residual, drawn = self.sky.draw(rng, grid, velocity)
            added += level * residual
            record |= drawn
        sigma = self._sigma(seen, sky, level, good, record["snr_photon"])
        mask = ~good
        if self.pixels is not None:
            offset, bad, drawn = self.pixels.draw(self.stream(name, visit, "pixels"), grid)
            added += level * offset
            mask |= bad
            record |= drawn
        return Circumstances(factor, added, sigma, mask)

    def _sigma(self, flux: Array, sky: Array, level: float, good: Array, snr: float) -> Array:
        """One-sigma errors (P,) whose median signal to noise, without the floor, is ``snr``."""
        star = (1 - self.read_fraction) * np.maximum(flux, 0) / level
        shape = np.sqrt(np.maximum(star + self.read_fraction + sky, 1e-6))
        scale = float(np.median(flux[good] / shape[good])) / snr
        return np.hypot(scale * shape, self.error_floor * flux)

    def _meta(self, out: Spectra, records: list[Record], visit: int) -> Table:
        """The metadata of the clean spectra and a column for everything that was done."""
        meta = out.meta.copy()
        meta["snr"] = out.snr
        meta["masked_fraction"] = out.masked_fraction
        for key in records[0]:
            meta[key] = [record[key] for record in records]
        meta["visit"] = np.full(len(out), visit)
        meta["observer_seed"] = np.full(len(out), int(self.seed))
        meta["instrument"] = [self.instrument.name] * len(out)
        return meta

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description of everything, the instrument included."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["snr"] = list(values["snr"])
        values["seed"] = int(self.seed)
        return {k: v.to_dict() if hasattr(v, "to_dict") else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Observer:
        """The inverse of `to_dict`; a bare name as instrument is that of a preset.

        Raises
        ------
        ConfigError
            If a parameter is unknown, or there is no instrument.
        """
        known = [f.name for f in fields(cls)]
        strange = [key for key in data if key not in known]
        if strange or "instrument" not in data:
            raise ConfigError(
                f"An observer is described by an instrument and, as needed, {', '.join(known[1:])};"
                f" received {', '.join(data) or 'nothing'}."
            )
        values = {**data, "instrument": Instrument.from_dict(data["instrument"])}
        for key, kind in EFFECTS.items():
            if values.get(key) is not None:
                values[key] = kind.from_dict(values[key])
        if "snr" in values and not isinstance(values["snr"], int | float):
            values["snr"] = tuple(values["snr"])
        return cls(**values)

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))


def _widened(seen: Spectra, widths: list[float]) -> Spectra:
    """Spectra on the instrument's pixels, broadened further; each row alone, as everywhere."""
    rng = np.random.default_rng(0)  # the interval has no width: nothing is drawn
    rows = [LSFJitter(fraction=(w - 1, w - 1))(seen[i], rng) for i, w in enumerate(widths)]
    return seen.replace(flux=np.concatenate([row.flux for row in rows]))


def _level(flux: Array, good: Array, name: str) -> float:
    """Median flux of the good pixels."""
    level = float(np.median(flux[good])) if good.any() else 0.0
    if not level > 0:
        raise DataError(
            f"Clean spectra must have a positive median flux; that of {name!r} is {level:g}. Give "
            "normalised spectra or flux densities, not magnitudes or differences."
        )
    return level
