"""Circumstances of observation as matrices, so that a network trains on any number of spectra.

An observed spectrum is linear in the emulator's components: rotation, line spread, velocity,
continuum, atmosphere and sky all act on ``mean + c @ basis`` as matrices do, and so does the
reader's weighted fit. One set of circumstances (an error and a mask for every pixel, a line
spread, a velocity, ...) therefore takes the emulator's numbers c straight to what the dense
layers see,

    features = offset + c @ gain + noise,

exactly, noise of the right covariance included, with no pixel touched. Hundreds of circumstances
are drawn from the observer beforehand; each step of the training takes some of them, and new
stars for each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array
from torch import Tensor

from starnet.models.reader import HEAVIEST, Reader
from starnet.spectra import WavelengthGrid
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.decoder import decoder_matrix
from starnet.synthesis.observe import Observer, Ripples, broaden

Array = NDArray[Any]
LIGHT = 299792.458
PATTERNS = 48
"""Random errors of lines, and ripples, that a set of circumstances mixes for each star."""


@dataclass(frozen=True)
class Sight:
    """What is drawn for each set of circumstances, beside what the observer draws.

    Attributes
    ----------
    vmac, vsini : (low, high)
        km/s, drawn evenly, whatever the star (a network must not read labels off them); of
        vsini three quarters of the draws are below a third of the range.
    line_error : float
        Largest error of line depths in the physics, as a fraction of the depth: each star has an
        amplitude between 0 and this, and its own random error at each wavelength, about a line
        wide.
    line_width : float
        Pixels over which that error goes together (sigma).
    doubtful : sequence of wavelength
        Vacuum Angstrom of lines whose physics is known to be wrong (NLTE, say): their depth has
        a further error, the same for all of them in a star, of ``doubtful_error`` (sigma), within
        ``doubtful_reach`` Angstrom.
    spreads : int
        Number of line spreads that the sets share.
    """

    vmac: tuple[float, float] = (0.5, 8.0)
    vsini: tuple[float, float] = (0.0, 15.0)
    line_error: float = 0.03
    line_width: float = 1.5
    doubtful: tuple[float, ...] = ()
    doubtful_error: float = 0.3
    doubtful_reach: float = 1.0
    spreads: int = 12


class Views:
    """The emulator's mean and components as an instrument sees them, in drawn circumstances.

    Parameters
    ----------
    emulator : Emulator
    observer : Observer
        Of the instrument; draws everything but the velocity, line spread and broadening too.
    pixels : array
        Pixels of the instrument's grid that the reader takes.
    sight : Sight
    seed : int
    """

    def __init__(
        self, emulator: Emulator, observer: Observer, pixels: Array, sight: Sight, seed: int
    ) -> None:
        self.emulator, self.observer, self.sight = emulator, observer, sight
        self.pixels = pixels
        self.rng = np.random.default_rng(seed)
        wave = observer.instrument.grid.to_vacuum().wavelength[pixels]
        self.doubtful = np.zeros(wave.size, dtype=bool)
        for line in sight.doubtful:
            self.doubtful |= np.abs(wave - line) < sight.doubtful_reach
        network = emulator.network
        self.rows = torch.cat([network.mean[None] - 1.0, network.basis]).numpy()  # (1 + E, S)
        grid = emulator.grid
        log_wave = np.log(grid.wavelength)
        self.step = float(log_wave[-1] - log_wave[0]) / (log_wave.size - 1) * LIGHT  # km/s
        self.matrices = [self._matrix(observer.instrument.grid) for _ in range(sight.spreads)]
        self.size = int(2 ** np.ceil(np.log2(grid.n_pixels + 256)))
        self.spectra = np.fft.rfft(self.rows, self.size, axis=1).astype(np.complex64)

    def _matrix(self, grid: WavelengthGrid) -> csr_array:
        width = 1 + self.observer.lsf_sigma * self.rng.standard_normal()
        width = float(np.clip(width, narrowest(self.emulator.grid, grid), 1.5))
        return decoder_matrix(self.emulator.grid, grid, width)[self.pixels].astype(np.float32)

    def star(self) -> tuple[Array, Array]:
        """What all visits of a star share: its broadening, and what the physics gets wrong (M, P).

        The latter are changes of line depths, as fractions: random ones a line wide of standard
        deviation ``line_error``, and one of all doubtful lines together. See `Conditions.wrong`.
        """
        rng, sight = self.rng, self.sight
        vmac = rng.uniform(*sight.vmac)
        low, high = sight.vsini
        vsini = low + (high - low) * rng.uniform() * (1.0 if rng.uniform() < 0.25 else 1 / 3)
        impulse = np.zeros((1, 257))
        impulse[0, 128] = 1.0
        kernel = broaden(impulse, _stub(self.emulator.grid), vsini=vsini, vmac=vmac)[0]
        transfer = np.fft.rfft(np.roll(np.pad(kernel, (0, self.size - 257)), -128))
        return transfer, self._line_errors()

    def draw(self, transfer: Array) -> Array:
        """Mean - 1 and components (1 + E, P) in a visit, with a drawn velocity and line spread."""
        shift = self.observer.rv_sigma * self.rng.standard_normal() / self.step
        frequency = np.arange(transfer.size) / self.size
        transfer = transfer * np.exp(-2j * np.pi * frequency * shift)
        seen = np.fft.irfft(self.spectra * transfer.astype(np.complex64), self.size, axis=1)
        matrix = self.matrices[self.rng.integers(len(self.matrices))]
        n = self.emulator.grid.n_pixels
        return np.ascontiguousarray((matrix @ seen[:, :n].T.astype(np.float32)).T)

    def _line_errors(self) -> Array:
        white = self.rng.standard_normal((PATTERNS, self.pixels.size))
        smooth = gaussian_filter1d(white, self.sight.line_width, axis=1, mode="wrap")
        smooth *= self.sight.line_error / smooth.std()
        doubt = self.sight.doubtful_error * self.doubtful[None]
        return np.concatenate([smooth, doubt]).astype(np.float32)

    def ripples(self, rng: np.random.Generator) -> Array:
        """Ripples (M, P) of one amplitude and length, as fractions; none for an even observer."""
        kind, grid = self.observer.ripples, self.observer.instrument.grid.select(self.pixels)
        if kind is None:
            return np.zeros((0, self.pixels.size))
        drawn = kind.draw(rng, grid)[1]
        one = Ripples(drawn["ripple"], drawn["ripple_length"])
        return np.stack([one.draw(rng, grid)[0] - 1 for _ in range(PATTERNS)])


def narrowest(source: WavelengthGrid, target: WavelengthGrid) -> float:
    """Least factor on the target's line spread that spectra on the source's grid allow."""
    if source.lsf is None or target.lsf is None:
        return 0.5
    own = np.interp(
        target.to_vacuum().wavelength, source.wavelength, source.lsf.fwhm_at(source.wavelength)
    )
    return float(np.max(own / target.lsf.fwhm_at(target.wavelength)))


def _stub(grid: WavelengthGrid) -> WavelengthGrid:
    middle = grid.n_pixels // 2
    return grid.select(slice(middle - 128, middle + 129))


@dataclass(frozen=True, eq=False)
class Conditions:
    """J sets of circumstances, as the dense layers of a reader meet them.

    Sets 2 i and 2 i + 1 are two visits of one star: its broadening, and what is wrong in the
    physics of its lines, are the same. What is wrong (`wrong`) and ripples (in ``noise``) are drawn
    anew for every star, so that the network cannot learn them by heart.

    Attributes
    ----------
    offset : tensor (J, K)
    gain : tensor (J, E, K)
        From the emulator's E numbers to the K components that the reader fits.
    noise : tensor (J, K, K)
        What standard normal numbers are multiplied with.
    extra : tensor (J, F - K)
        What the dense layers see beside components; see `Reader.extras`.
    wrong : tensor (J, M, K)
        What the errors of line depths do to the components of a star whose lines are as deep, on
        the mean, as those of the set's own star; the last is that of doubtful lines.
    depth : tensor (J,)
        Mean depth of the lines of the set's own star.
    """

    offset: Tensor
    gain: Tensor
    noise: Tensor
    extra: Tensor
    wrong: Tensor
    depth: Tensor

    def __len__(self) -> int:
        return len(self.offset)

    def features(
        self,
        which: Tensor,
        numbers: Tensor,
        generator: torch.Generator,
        errors: Tensor | None = None,
    ) -> Tensor:
        """Features (G * S, F) of stars with emulator's numbers (G, S, E) in G of the sets.

        ``errors`` (G, S, M) are what is wrong in the physics of each star's lines, as
        `line_errors` draws it; none by default.
        """
        white = torch.randn(*numbers.shape[:2], self.noise.shape[2], generator=generator)
        seen = torch.baddbmm(self.offset[which][:, None], numbers, self.gain[which].float())
        seen = torch.baddbmm(seen, white, self.noise[which].float())
        if errors is not None:
            scaled = errors / self.depth[which][:, None, None]
            seen = torch.baddbmm(seen, scaled, self.wrong[which].float())
        extra = self.extra[which][:, None].expand(-1, numbers.shape[1], -1)
        return torch.cat([seen, extra], dim=2).flatten(0, 1)

    def line_errors(self, depth: Tensor, generator: torch.Generator) -> Tensor:
        """Errors (G, S, M) for stars whose lines have mean depths (G, S).

        Each star has an amplitude of its own, evenly up to ``Sight.line_error``.
        """
        m = self.wrong.shape[1] - 1
        shape = depth.shape
        some = torch.randn(*shape, m, generator=generator) / math.sqrt(m)
        some = some * torch.rand(*shape, 1, generator=generator)
        doubt = torch.randn(*shape, 1, generator=generator)
        return torch.cat([some, doubt], dim=2) * depth[:, :, None]


def mean_depth(emulator: Emulator, numbers: Tensor) -> Tensor:
    """Mean depth of the lines (...) of stars with the emulator's numbers (..., E)."""
    network = emulator.network
    return (1 - network.mean.mean() - numbers @ network.basis.mean(dim=1)).clamp_min(0)


def draw_conditions(
    reader: Reader,
    views: Views,
    numbers: Tensor,
    n: int,
    *,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Conditions:
    """n sets of circumstances, in pairs.

    Parameters
    ----------
    reader : Reader
        With its components set.
    views : Views
    numbers : tensor (N, E)
        Emulator's numbers of stars, of which each set takes one for the size of its errors.
    n : int
    seed : int
    progress : callable, optional
        Told how many are done.
    """
    design, ridge, _ = reader.solver()
    wide, prior = design.double(), ridge.double()
    k = reader.config.components
    rng = np.random.default_rng([seed, 1])
    parts, transfer, wrong = [], np.zeros(0), np.zeros((0, 0))
    still = dataclasses.replace(views.observer, ripples=None)
    for j in range(2 * ((n + 1) // 2)):
        if j % 2 == 0:
            transfer, wrong = views.star()
        rows = views.draw(transfer)
        star = numbers[rng.integers(len(numbers))].numpy()
        flux = 1 + rows[0] + star @ rows[1:]
        factor, added, sigma, mask = seen_by(views, flux, f"{seed}-{j}", rng, still)
        ivar = np.where(mask, 0.0, 1.0 / np.maximum(sigma, 1e-6) ** 2)
        other = np.random.default_rng([seed, 3, j])
        ripples = views.ripples(other)
        waved = factor * (1 + ripples[0]) if len(ripples) else factor
        noise = sigma * other.standard_normal(sigma.size)
        ivar = _believed(reader, flux * waved + added + noise, ivar)
        mask = ivar <= 0
        middle = float(np.median(ivar[~mask]))
        weight = torch.from_numpy(np.minimum(ivar / middle, HEAVIEST))
        scaled = wide * weight
        normal = scaled @ wide.T
        lower = torch.linalg.cholesky(normal + torch.diag(prior))
        fluxes = torch.from_numpy(rows * factor.astype(np.float32))
        constant = torch.from_numpy(factor * (1 + rows[0]) + added) - reader.mean.double()
        shapes = torch.from_numpy(np.concatenate([wrong * (flux - 1), ripples * flux]) * factor)
        columns = torch.cat([constant[None], fluxes[1:].double(), shapes])
        found = torch.cholesky_solve(scaled @ columns.T, lower)[:k]
        found = found / reader.power.double()[:, None]
        first, last = len(rows), len(rows) + len(wrong)
        # noise of weight * flux: with w = ivar / middle (not clipped), normal / middle
        spread = (scaled * weight * torch.from_numpy(np.where(mask, 0.0, sigma**2))) @ wide.T
        half = torch.cholesky_solve(spread, lower)
        covariance = torch.cholesky_solve(half.T, lower)[:k, :k]
        covariance = covariance / torch.outer(reader.power, reader.power).double()
        if len(ripples):
            covariance = covariance + found[:, last:] @ found[:, last:].T / len(ripples)
        root = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(k))
        snr = torch.tensor([middle**0.5])
        extra = reader.extras(snr, torch.where(torch.from_numpy(mask), 0.0, weight)[None])[0]
        parts.append(
            (
                found[:, 0].float(),
                found[:, 1:first].T.half(),
                root.T.half(),
                extra.float(),
                found[:, first:last].T.half(),
                torch.tensor(max(float(np.mean(1 - flux)), 1e-3)),
            )
        )
        if progress:
            progress(j + 1)
    return Conditions(*(torch.stack(column) for column in zip(*parts, strict=True)))


@torch.no_grad()
def _believed(reader: Reader, flux: Array, ivar: Array) -> Array:
    """Inverse variance (P,) that the reader takes for its fit: pixels rejected, errors enlarged."""
    x = torch.as_tensor(np.stack([flux, ivar])[None], dtype=torch.float32)
    return reader.normalised(x)[1][0].double().numpy()


def seen_by(
    views: Views,
    flux: Array,
    name: str,
    rng: np.random.Generator,
    observer: Observer | None = None,
) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """Factor, what is added, error and mask (P,) of a spectrum of flux (P,)."""
    observer = observer or views.observer
    low, high = np.log(np.asarray(observer.snr, dtype=float))
    record = {
        "snr_photon": float(np.exp(rng.uniform(low, high))),
        "sky_velocity": float(observer.velocity * rng.standard_normal()),
    }
    grid = observer.instrument.grid.select(views.pixels)
    good = np.ones(views.pixels.size, dtype=bool)
    drawn = observer.circumstances(grid, flux.astype(float), good, name, 0, record)
    return drawn.factor, drawn.added, drawn.sigma, drawn.mask
