"""Spectra of many stars at once, each with a velocity and an extra Gaussian of its own.

The emulator is linear in its components, and so are a shift and a convolution. Both are products
in the frequencies of a grid even in the logarithm of wavelength, so the transforms of the
components are made once, and a star costs one product of matrices and one inverse transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.sparse import csr_array
from torch import Tensor

from starnet.spectra import LineSpread, WavelengthGrid
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.decoder import decoder_matrix

Array = NDArray[Any]
LIGHT = 299792.458
EVEN = 1e-2
"""Largest unevenness, in pixels, of a grid that counts as even in log wavelength."""


@dataclass(frozen=True, eq=False)
class Still:
    """Components on Q pixels, of stars at rest and without an extra width.

    Attributes
    ----------
    mean : Tensor (Q,)
    basis : Tensor (K, Q)
    """

    mean: Tensor
    basis: Tensor
    n_motion: int = 0

    @classmethod
    def of(cls, emulator: Emulator, grid: WavelengthGrid, pixels: Array) -> Still:
        """The emulator's components on some pixels of a grid."""
        network = _on(emulator, grid).network
        at = torch.as_tensor(pixels)
        return cls(network.mean[at].contiguous(), network.basis[:, at].contiguous())

    def forward(self, value: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Flux (B, Q) of coefficients (B, K), and derivatives (B, 0, Q) by the motion (B, 0)."""
        return torch.addmm(self.mean, value, self.basis), value.new_zeros(len(value), 0, 1)

    def adjoint(self, back: Tensor, motion: Tensor) -> Tensor:
        """Derivatives (B, K) of ``sum(back * flux)`` by the coefficients, for back (B, Q)."""
        return back @ self.basis.T

    def columns(self, rise: Tensor, motion: Tensor) -> Tensor:
        """Flux (B, L, Q) of changes of coefficients (B, L, K)."""
        return rise @ self.basis

    def gram(self, weights: Tensor, extra: Tensor) -> list[list[Tensor]]:
        """``B diag(w) B.T`` less what the columns ``extra`` (X, Q) take up; see `Moving.gram`."""
        return _grams([self.basis], weights, extra)


@dataclass(frozen=True, eq=False)
class Moving:
    """Components in the frequencies of an even grid, for stars with a motion (B, 2).

    The motion is the velocity in km/s, positive to the red, and the variance of the extra
    Gaussian in (km/s)**2.

    Attributes
    ----------
    mean, basis : Tensor (2 F,), (K, 2 F)
        Transforms of the components less 1, real and imaginary parts in turn.
    frequency : Tensor (F,)
        Radians per km/s.
    size, n_even : int
        Pixels of the even grid, with the padding and without.
    pick : Tensor (Q,) or None
        Which of them are the pixels; None if ``matrix`` makes those.
    matrix : csr_array (Q, n_even) or None
    """

    mean: Tensor
    basis: Tensor
    frequency: Tensor
    size: int
    n_even: int
    pick: Tensor | None
    matrix: csr_array | None
    n_motion: int = 2

    @classmethod
    def of(cls, emulator: Emulator, grid: WavelengthGrid, pixels: Array, reach: float) -> Moving:
        """The emulator's components for pixels of a grid, with ``reach`` km/s beyond its ends."""
        work, start = _even_grid(grid, reach)
        network = _on(emulator, work).network
        size = next_fast_len(work.n_pixels + 8, real=True) or work.n_pixels + 8
        stacked = torch.cat([network.mean[None] - 1, network.basis])
        hat = torch.view_as_real(torch.fft.rfft(stacked, n=size)).flatten(1)
        step = np.log(work.wavelength[-1] / work.wavelength[0]) / (work.n_pixels - 1) * LIGHT
        frequency = torch.arange(size // 2 + 1) * (2 * np.pi / (size * step))
        pick, matrix = None, None
        if start is not None:
            pick = torch.as_tensor(pixels + start)
        else:
            plain = WavelengthGrid(work.wavelength, "vacuum")
            bare = WavelengthGrid(grid.wavelength, grid.medium)
            matrix = csr_array(decoder_matrix(plain, bare)[pixels].astype(np.float32))
        return cls(
            hat[0], hat[1:].contiguous(), frequency.float(), size, work.n_pixels, pick, matrix
        )

    def forward(self, value: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Flux (B, Q) of coefficients (B, K) and its derivatives (B, 2, Q) by the motion."""
        hat = self._complex(torch.addmm(self.mean, value, self.basis)) * self._transfer(motion)
        k = self.frequency
        each = torch.stack([hat, hat * torch.complex(torch.zeros_like(k), -k), hat * (-0.5 * k**2)])
        flux = self._pixels(each)  # (3, B, Q)
        return flux[0] + 1, flux[1:].transpose(0, 1)

    def adjoint(self, back: Tensor, motion: Tensor) -> Tensor:
        """Derivatives (B, K) of ``sum(back * flux)`` by the coefficients, for back (B, Q)."""
        spread = back.new_zeros(len(back), self.size)
        if self.pick is not None:
            spread[:, self.pick] = back
        else:
            assert self.matrix is not None
            spread[:, : self.n_even] = torch.from_numpy((self.matrix.T @ back.numpy().T).T)
        hat = torch.fft.rfft(spread) * self._transfer(motion).conj()
        twice = torch.full_like(self.frequency, 2.0 / self.size)
        twice[0] = 1.0 / self.size
        if self.size % 2 == 0:
            twice[-1] = 1.0 / self.size
        return torch.view_as_real(hat * twice).flatten(1) @ self.basis.T

    def columns(self, rise: Tensor, motion: Tensor) -> Tensor:
        """Flux (B, L, Q) of changes of coefficients (B, L, K)."""
        return self._pixels(self._complex(rise @ self.basis) * self._transfer(motion)[:, None])

    def gram(self, weights: Tensor, extra: Tensor) -> list[list[Tensor]]:
        """Products of the components and of their derivatives by the motion, at rest.

        Three sets: the K components; and the derivatives by velocity and by variance, each of
        the K components and, last, of the mean (K + 1).

        Parameters
        ----------
        weights : Tensor (Q,)
        extra : Tensor (X, Q)
            Columns that are fitted as well; what they can take up is left out.
        """
        both = self._complex(torch.cat([self.basis, self.mean[None]]))
        k = self.frequency
        slid = both * torch.complex(torch.zeros_like(k), -k)
        sets = [self._pixels(both[:-1]), self._pixels(slid), self._pixels(both * (-0.5 * k**2))]
        return _grams(sets, weights, extra)

    def _transfer(self, motion: Tensor) -> Tensor:
        k = self.frequency
        phase = -motion[:, :1] * k
        return torch.polar(torch.exp(-0.5 * motion[:, 1:] * k**2), phase)  # (B, F)

    def _complex(self, flat: Tensor) -> Tensor:
        return torch.view_as_complex(flat.unflatten(-1, (-1, 2)))

    def _pixels(self, hat: Tensor) -> Tensor:
        flux = torch.fft.irfft(hat, n=self.size)
        if self.pick is not None:
            return flux[..., self.pick]
        assert self.matrix is not None
        rows = flux[..., : self.n_even].flatten(0, -2).numpy()
        return torch.from_numpy((self.matrix @ rows.T).T.copy()).unflatten(0, flux.shape[:-1])


Renderer = Still | Moving


def _grams(sets: list[Tensor], weights: Tensor, extra: Tensor) -> list[list[Tensor]]:
    root = weights.sqrt()
    taken = torch.linalg.qr((extra * root).T.double())[0].float()  # (Q, X)
    sets = [s * root for s in sets]
    sets = [s - (s @ taken) @ taken.T for s in sets]
    return [[a @ b.T for b in sets] for a in sets]


def _on(emulator: Emulator, grid: WavelengthGrid) -> Emulator:
    """The emulator on a grid; itself if it is there already."""
    own, lsf = emulator.grid.lsf, grid.lsf
    same = lsf is None or (own is not None and own.matches(lsf))
    return emulator if same and emulator.grid.matches(grid, tolerance=1e-3) else emulator.on(grid)


def _even_grid(grid: WavelengthGrid, reach: float) -> tuple[WavelengthGrid, int | None]:
    """A vacuum grid even in log wavelength around a grid, and where that begins in it.

    The second is None if the grid is not even itself.
    """
    vacuum = grid.to_vacuum()
    log_wave = np.log(vacuum.wavelength)
    steps = np.diff(log_wave)
    even = (log_wave[-1] - log_wave[0]) / steps.size
    aligned = np.max(np.abs(log_wave - log_wave[0] - even * np.arange(log_wave.size))) < EVEN * even
    step = even if aligned else float(np.percentile(steps, 5))
    more = int(np.ceil(reach / LIGHT / step)) + 4
    n = int(np.ceil((log_wave[-1] - log_wave[0]) / step - EVEN)) + 1 + 2 * more
    wave = np.exp(log_wave[0] + step * (np.arange(n) - more))
    lsf = None
    if grid.lsf is not None:
        power = grid.wavelength / grid.lsf.fwhm_at(grid.wavelength)
        lsf = LineSpread(resolution=np.interp(wave, vacuum.wavelength, power))
    return WavelengthGrid(wave, "vacuum", lsf=lsf), more if aligned else None
