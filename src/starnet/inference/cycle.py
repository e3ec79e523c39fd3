"""The cycle: labels to a spectrum by the emulator, held against the spectrum they came from.

A network gives labels for everything, also for what it has never seen. The emulator does not
lie in the same way: of a hot star, a galaxy or an M dwarf there is no label whose spectrum looks
like it. For each spectrum, d(p) is compared with

    C(p) [m + v m' + b (G * m - m)],

where m is the emulated spectrum of its labels, C a polynomial for each chip, v a small velocity
and b the share of a broader line profile G (rotation, or a broader line spread); all of it is
linear, solved in turns, with outliers weighed down. The error of the model itself is taken as
``FLOOR`` of the continuum and ``DEPTH`` of the depth of each line, added in squares: what our
computed spectra of the Sun and Arcturus differ from observed ones by is 0.7 to 1.6 per cent (rms).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from starnet.errors import FrameError, GridError, LabelError
from starnet.inference._emission import Over, emission, pixel_width
from starnet.inference._levels import continuum
from starnet.inference.flags import LabelFlag
from starnet.spectra import Labels, Spectra, WavelengthGrid
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
FLOOR, DEPTH = 0.01, 0.10
"""Error of the model: of the continuum, and of the depth of a line (0.04 dex in strength)."""
BROAD = 25.0
"""Sigma (km/s) of the broader profile, or one pixel and a half where that is more."""
CHI2, EXPLAINED, UNEXPLAINED, BROADEST = 3.0, 0.6, 0.015, 0.9
"""Limits of a good fit, from 400 synthetic stars over the emulator's hull, observed as APOGEE does
(S/N 10 to 300, vsini to 20 km/s, line strengths wrong by a tenth at random, labels with the errors
of a network): 99 % have a chi2 below 1.5, twice of which allows for quoted errors that are too
small by 40 %; above S/N 20 all have more than 0.65 explained, below it 5 % have less than 0.5, at
a residual below 0.015."""
VELOCITY = 8.0
"""Largest velocity (km/s, or half a pixel where that is more) that a spectrum at rest may have."""
MOST = 5.0
"""Residuals count as this many sigma at most, so that one bad pixel is not a bad star."""
BLOCK = 64


@dataclass(frozen=True, eq=False)
class Cycle:
    """N spectra and what the emulator makes of their labels.

    Attributes
    ----------
    grid : WavelengthGrid
        Of the P pixels.
    flux, error : array (N, P)
        The spectra over their fitted continuum and its one-sigma error without that of the model;
        infinite where masked, NaN where unknown. None if spectra were not asked for.
    model : array (N, P)
        The reconstruction over continuum; None likewise.
    used : bool array (N, P)
        Pixels that were compared; None likewise.
    chi2 : array (N,)
        Mean square of the residual over its error, that of the model included; a pixel counts
        5 sigma at most. NaN where there were no labels or too few pixels.
    deviating : array (N,)
        Fraction of pixels more than 5 sigma away.
    explained : array (N,)
        Part of the spectrum's own variance, noise taken off, that the model has: 1 is all of it.
    rms : array (N,)
        Residual beyond noise, as a fraction of the continuum.
    velocity, velocity_error : array (N,)
        By which the spectrum is off the model, km/s.
    broadening : array (N,)
        Share b of the broader line profile; 1 is all of it, for a vsini of 50 km/s or so.
    emission : array (N,)
        Highest running mean above the continuum that is significant (0 for none); see `_emission`.
    inside : bool array (N,)
        Whether the emulator holds at these teff, logg and fe_h.
    """

    grid: WavelengthGrid
    chi2: Array
    deviating: Array
    explained: Array
    rms: Array
    velocity: Array
    velocity_error: Array
    broadening: Array
    emission: Array
    inside: NDArray[np.bool_]
    flux: Array | None = None
    error: Array | None = None
    model: Array | None = None
    used: Array | None = None

    def __len__(self) -> int:
        return len(self.chi2)

    @property
    def residual(self) -> Array | None:
        """Spectrum minus reconstruction, over continuum, (N, P)."""
        return None if self.flux is None or self.model is None else self.flux - self.model

    @property
    def poor(self) -> NDArray[np.bool_]:
        """Whether the reconstruction fails, or its lines had to be far broader, (N,)."""
        unlike = (self.explained < EXPLAINED) & (self.rms > UNEXPLAINED)
        return (self.chi2 > CHI2) | unlike | (self.broadening > BROADEST)

    @property
    def flags(self) -> NDArray[np.int16]:
        """`LabelFlag` bits of each spectrum, (N,)."""
        out = np.zeros(len(self), dtype=np.int16)
        out[self.poor] |= LabelFlag.POOR_FIT
        out[self.emission > 0] |= LabelFlag.EMISSION
        out[~self.inside & np.isfinite(self.chi2)] |= LabelFlag.OUTSIDE_HULL
        most = max(VELOCITY, 0.5 * pixel_width(self.grid))
        moved = np.abs(self.velocity) > most + 3 * np.nan_to_num(self.velocity_error)
        out[moved] |= LabelFlag.BAD_VELOCITY
        return out


def cycle(
    labels: Labels,
    spectra: Spectra,
    emulator: Emulator,
    *,
    keep: bool = False,
    ready: bool = False,
) -> Cycle:
    """Spectra emulated from labels, fitted to the spectra that these labels are of.

    Parameters
    ----------
    labels : Labels
        Of the N spectra, as predicted; labels that the emulator does not have are left out, and
        missing ones are in the middle of its range. Without teff, logg and fe_h there is no cycle.
    spectra : Spectra
        N spectra at rest, normalised or not.
    emulator : Emulator
        On any pixels; it is taken to those of the spectra, at its line spread or theirs.
    keep : bool
        Keep spectra and reconstructions: 13 bytes for each pixel.
    ready : bool
        The emulator has the spectra's pixels and line spread already.

    Raises
    ------
    FrameError
        If the spectra are not at rest.
    LabelError
        If there is not one set of labels for each spectrum.
    GridError
        If emulator and spectra do not overlap.
    """
    if spectra.frame != "rest":
        raise FrameError("The cycle compares spectra at rest; these are observed. See Model.adapt.")
    if len(labels) != len(spectra):
        raise LabelError(f"{len(spectra)} spectra need as many labels; received {len(labels)}.")
    fitted = emulator if ready else on_pixels(emulator, spectra.grid)
    reached = ~np.all(fitted.network.basis.numpy() == 0, axis=0)
    known = labels.select([name for name in labels.names if name in (*emulator.labels, "m_h")])
    parts = []
    for start in range(0, max(len(labels), 1), BLOCK):
        rows = slice(start, start + BLOCK)
        parts.append(_block(known[rows], spectra[rows], fitted, reached, keep))
    joined: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    return Cycle(spectra.grid, **joined)


@lru_cache(maxsize=8)
def on_pixels(emulator: Emulator, grid: WavelengthGrid) -> Emulator:
    """The emulator on pixels, through their line spread or, if that is sharper, its own."""
    try:
        return emulator.on(grid)
    except GridError:
        if grid.lsf is None or not emulator.reaches(grid).any():
            raise
        return emulator.on(WavelengthGrid(grid.wavelength, grid.medium, grid.chips))


def _filled(labels: Labels, emulator: Emulator) -> Labels:
    """Labels whose missing values, but of teff, logg and metallicity, are in the middle.

    One that is missing would make all others missing in the products that follow.
    """
    middle = dict(zip(emulator.labels, 0.5 * (emulator.hull.low + emulator.hull.high), strict=True))
    values = np.array(labels.values)
    for j, name in enumerate(labels.names):
        if name not in ("teff", "logg", "fe_h", "m_h"):
            values[~np.isfinite(values[:, j]), j] = middle.get(name, 0.0)
    return Labels(labels.names, values, specs=labels.specs)


def _block(
    labels: Labels, spectra: Spectra, emulator: Emulator, reached: Array, keep: bool
) -> dict[str, Any]:
    import torch

    own = emulator.own(_filled(labels, emulator))
    finite: Array = np.all(np.isfinite(own[:, :3]), axis=1)
    middle = 0.5 * (emulator.hull.low + emulator.hull.high)
    own = np.where(np.isfinite(own) & finite[:, None], own, middle)
    clipped = emulator.hull.clip(own)
    with torch.no_grad():
        model = emulator.flux(torch.as_tensor(clipped, dtype=torch.float32)).numpy()
    used = ~spectra.mask & reached & _in_chips(spectra.grid) & finite[:, None]
    fit = fit_model(spectra, model, used)
    out = _statistics(fit, spectra.grid)
    third = "fe_h" if "fe_h" in labels.names else "m_h"
    error = np.nan_to_num(labels.select(("teff", "logg", third)).errors)
    near = own[:, :3] + np.clip(clipped[:, :3] - own[:, :3], -error, error)  # within its error
    main = np.concatenate([near, clipped[:, 3:]], axis=1)
    out["inside"] = emulator.hull.contains(main) & finite
    if keep:
        out |= {"flux": fit.flux, "model": fit.model, "used": fit.good}
        sigma = np.sqrt(np.where(np.isfinite(fit.noise), fit.noise, np.nan))
        out["error"] = np.where(spectra.mask, np.inf, sigma).astype(np.float32)
    return out


@dataclass(frozen=True, eq=False)
class Fitted:
    """Spectra over continuum (N, P), with their model, and variances of noise and of both."""

    flux: Array
    model: Array
    noise: Array
    variance: Array
    good: Array
    velocity: Array
    velocity_error: Array
    broadening: Array


def fit_model(spectra: Spectra, model: Array, used: Array) -> Fitted:
    """The nuisances of the module's text, fitted in three turns.

    Parameters
    ----------
    spectra : Spectra
        N spectra of P pixels.
    model : array (N, P)
        Emulated flux over continuum.
    used : bool array (N, P)
    """
    grid = spectra.grid
    shift, broad = _profiles(model, grid)
    current = model
    level = continuum(grid, spectra.flux, used, current, None)
    amounts, slack = np.zeros((len(model), 2), np.float32), np.zeros(len(model))
    for turn in range(3):
        state = _over(spectra, level, current, used)
        weight = np.where(state[3], 1.0 / state[2], 0.0)
        pull = (state[0] - current) ** 2 * weight
        weight *= 1.0 / (1.0 + pull / 16.0)  # outliers beyond 4 sigma lose their say
        if turn == 2:
            break
        amounts, slack = _two(state[0] - model, shift, broad, weight)
        current = model + amounts[:, :1] * shift + amounts[:, 1:] * broad
        level = continuum(grid, spectra.flux, used, current, weight)
    flux, noise, variance, good = _over(spectra, level, current, used)
    step = pixel_width(grid)
    return Fitted(
        flux=flux,
        model=current.astype(np.float32),
        noise=noise,
        variance=variance,
        good=good,
        velocity=amounts[:, 0] * step,
        velocity_error=slack * step,
        broadening=amounts[:, 1],
    )


def _over(spectra: Spectra, level: Array, model: Array, used: Array) -> tuple[Array, ...]:
    """Flux over continuum, variance of its noise (NaN unknown), of noise and model, good."""
    good = used & (level > 0)
    safe = np.where(good, level, 1.0).astype(np.float32)
    flux = np.where(good, spectra.flux / safe, 1.0).astype(np.float32)
    known = good & (spectra.ivar > 0)
    noise = np.float32(1.0) / np.where(known, spectra.ivar * safe**2, np.float32(np.nan))
    wide = FLOOR**2 + (DEPTH * (1.0 - np.clip(model, 0.0, 1.0))) ** 2
    return flux, noise, np.where(known, np.minimum(noise, 1e30), 0) + wide, good


def _profiles(model: Array, grid: WavelengthGrid) -> tuple[Array, Array]:
    """Change of the model by a shift of a pixel to the red, and by a broader profile."""
    sigma = max(BROAD / pixel_width(grid), 1.5)
    shift = -np.gradient(model, axis=1)
    return shift, gaussian_filter1d(model, sigma, axis=1, mode="nearest") - model


def _two(data: Array, shift: Array, broad: Array, weight: Array) -> tuple[Array, Array]:
    """Amounts (N, 2) of shift and broadening by weighted least squares, and the shift's error."""
    a, b, c = (np.sum(weight * x * y, axis=1, dtype=float) for x, y in
               ((shift, shift), (shift, broad), (broad, broad)))  # fmt: skip
    p, q = (np.sum(weight * x * data, axis=1, dtype=float) for x in (shift, broad))
    tiny = 1e-12 + 1e-9 * (a + c)
    det = (a + tiny) * (c + tiny) - b**2
    first = np.clip(((c + tiny) * p - b * q) / det, -3.0, 3.0)
    second = np.clip((q - b * first) / (c + tiny), -0.5, 1.0)
    return np.stack([first, second], axis=1).astype(np.float32), np.sqrt((c + tiny) / det)


def _statistics(fit: Fitted, grid: WavelengthGrid) -> dict[str, Any]:
    """What `Cycle` holds of each spectrum."""
    good = fit.good
    count = good.sum(axis=1)
    enough = count > 50
    n = np.maximum(count, 1)
    residual = np.where(good, fit.flux - fit.model, 0.0)
    square = residual**2 / fit.variance
    far = square > MOST**2  # spikes: they count in chi2, and not as lines
    weight = np.where(good & ~far, 1.0 / fit.variance, 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-30)
    noise = np.nan_to_num(fit.noise)
    mean = (weight * fit.flux).sum(axis=1) / total
    lines = (weight * ((fit.flux - mean[:, None]) ** 2 - noise)).sum(axis=1) / total
    left = np.maximum((weight * (residual**2 - noise)).sum(axis=1) / total, 0.0)
    over = Over(fit.flux, fit.model, noise, good)

    def known(values: Array) -> Array:
        return np.where(enough, values, np.nan)

    return {
        "chi2": known(np.sum(np.minimum(square, MOST**2), axis=1, where=good) / n),
        "deviating": known(np.sum((square > 25.0) & good, axis=1) / n),
        "explained": known(1.0 - left / np.maximum(lines, 1e-8)),
        "rms": known(np.sqrt(left)),
        "velocity": known(fit.velocity),
        "velocity_error": known(fit.velocity_error),
        "broadening": known(fit.broadening),
        "emission": np.where(enough, emission(over, grid), 0.0),
    }


def _in_chips(grid: WavelengthGrid) -> Array:
    inside = np.zeros(grid.n_pixels, dtype=bool)
    for a, b in grid.chips:
        inside[a:b] = True
    return inside
