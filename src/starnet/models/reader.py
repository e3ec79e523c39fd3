"""The network that reads spectra through components: weighted fit first, dense layers after.

A spectrum is taken apart by a linear fit that knows each pixel's error and mask,

    flux / continuum = mean + c @ basis,   continuum = 1 + Legendre polynomials in each chip,

with a Gaussian prior on the K numbers c (Wiener filter: Rybicki and Press 1992, ApJ 398, 169).
A masked pixel has no weight, and what it would have said is filled in by its neighbours in the
components, not by a constant. The numbers c, the signal to noise and the masked fraction go
through dense layers, which give each label and its error.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models.registry import register

EXTRAS = 2
"""Inputs of the dense layers beside the components: log10 of the signal to noise, masked part."""
MEDIAN_SQUARE = 0.4549364
"""Median of the square of a normal number."""
HEAVIEST = 2.0
"""Largest weight of a pixel, in units of the median one."""


@dataclass(frozen=True)
class ReaderConfig:
    """Everything that defines a `Reader` but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
    n_channels : int
        2: flux, and inverse variance (0 where masked).
    chips : tuple of (start, stop)
        Pixel ranges with a continuum of their own. Default: one.
    components : int
        K.
    order : int
        Of the continuum in each chip.
    hidden : tuple of int
        Nodes of the hidden layers; those as wide as the one before add to it.
    prior_snr : float
        Signal to noise at which prior and data of a component are weighed against each other.
    passes : int
        How often the continuum is fitted and divided out.
    iterations : int
        Of conjugate gradients in the last fit (half as many in those before).
    reject : float
        Pixels whose residual in a fit before the last is larger than this many errors, where
        ``reject_floor`` of the continuum is added to the quoted error in squares, have no weight
        from then on: they are bad pixels that no mask tells of. 0 keeps all.
    reject_floor : float
    noise_floor : float
        Where the residuals of a chip are larger than its quoted errors let one expect, these are
        taken to be that much larger (never smaller); differences up to this fraction of the
        continuum are put down to the components instead. 0 believes every quoted error.
    chip_snr : bool
        Tell the dense layers the signal to noise of each chip, too.
    repeats : bool
        Also learn by how much labels scatter among visits of one star.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 2
    chips: tuple[tuple[int, int], ...] = ()
    components: int = 192
    order: int = 4
    hidden: tuple[int, ...] = (512, 512, 512)
    prior_snr: float = 150.0
    passes: int = 3
    iterations: int = 8
    reject: float = 5.0
    reject_floor: float = 0.02
    noise_floor: float = 0.0
    chip_snr: bool = False
    repeats: bool = False

    @property
    def n_features(self) -> int:
        """What the dense layers see: components, and `EXTRAS` or more."""
        return self.components + EXTRAS + (len(self.chips) if self.chip_snr else 0)

    def __post_init__(self) -> None:
        chips = tuple((int(a), int(b)) for a, b in self.chips) or ((0, self.n_pixels),)
        object.__setattr__(self, "chips", chips)
        object.__setattr__(self, "hidden", tuple(int(n) for n in self.hidden))
        if self.n_channels != 2:
            raise ConfigError(
                "A reader takes 2 channels, flux and inverse variance; received "
                f"{self.n_channels}. Train it with channels flux, ivar."
            )
        if not self.hidden or min(self.components, self.passes, self.iterations) < 1:
            raise ConfigError(
                "components, passes, iterations and hidden must be 1 or more; received "
                f"{self.components}, {self.passes}, {self.iterations}, {self.hidden}."
            )
        if self.order < 0 or not self.prior_snr > 0:
            raise ConfigError(
                f"order must be 0 or more and prior_snr positive; received {self.order} and "
                f"{self.prior_snr}."
            )


@register("reader", ReaderConfig)
class Reader(nn.Module):
    """The network of a `ReaderConfig`: (B, 2, P) flux and ivar to (B, L) scaled labels.

    `set_components` gives it what it knows of spectra; until then it sees next to nothing.
    """

    mean: Tensor
    basis: Tensor
    power: Tensor
    weight: Tensor
    legendre: Tensor

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        k, p = config.components, config.n_pixels
        self.register_buffer("mean", torch.ones(p))
        start = torch.randn(k, p) / math.sqrt(p)
        self.register_buffer("basis", start)
        self.register_buffer("power", torch.ones(k))  # standard deviation of each component
        self.register_buffer("weight", torch.ones(p))  # of a pixel, on average
        self.register_buffer("legendre", legendre(config), persistent=False)  # (Q, P)
        sizes = (config.n_features, *config.hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.head = nn.Linear(sizes[-1], 2 * config.n_labels)
        self.bypass = nn.Linear(config.n_features, config.n_labels, bias=False)
        nn.init.zeros_(self.bypass.weight)
        self.repeat_head = nn.Linear(sizes[-1], config.n_labels) if config.repeats else None
        self._solver: tuple[Tensor, ...] | None = None
        self.register_load_state_dict_post_hook(_forget)

    @torch.no_grad()
    def set_components(self, mean: Tensor, basis: Tensor, power: Tensor, weight: Tensor) -> None:
        """What spectra are made of.

        Parameters
        ----------
        mean : tensor (P,)
        basis : tensor (K, P)
            Rows of length 1.
        power : tensor (K,)
            Standard deviation of each component among stars.
        weight : tensor (P,)
            Mean inverse variance of a pixel in units of its spectrum's median one.
        """
        for name, value in (("mean", mean), ("basis", basis), ("power", power), ("weight", weight)):
            getattr(self, name).copy_(value)
        _forget(self, None)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled labels (B, L) of flux and inverse variance (B, 2, P)."""
        return self.distribution(x)[0]

    def distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each scaled label, (B, L) both."""
        return self.read(self.features(x))

    def read(self, features: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, L) of features (B, F), and of their hidden layer."""
        hidden = self.hidden(features) if hidden is None else hidden
        mean, width = self.head(hidden).chunk(2, dim=1)
        return mean + self.bypass(features), functional.softplus(width - 2.0) + 1e-4

    def hidden(self, features: Tensor) -> Tensor:
        """The last hidden layer (B, H) of features (B, F)."""
        hidden = features
        for i, layer in enumerate(self.layers):
            out = functional.silu(layer(hidden))
            widths = self.config.hidden
            hidden = hidden + out if i and widths[i] == widths[i - 1] else out
        return hidden

    def embed(self, x: Tensor) -> Tensor:
        """The last hidden layer (B, H) of flux and ivar (B, 2, P)."""
        return self.hidden(self.features(x))

    def repeated(self, hidden: Tensor) -> Tensor:
        """Standard deviation (B, L) of the means among visits of a star, of a hidden layer (B, H).

        Raises
        ------
        ConfigError
            If the reader has not learnt it (``repeats``).
        """
        if self.repeat_head is None:
            raise ConfigError("This reader has not learnt how its labels scatter among visits.")
        return functional.softplus(self.repeat_head(hidden) - 2.0) + 1e-4

    def features(self, x: Tensor) -> Tensor:
        """What the dense layers see of flux and ivar (B, 2, P): (B, F)."""
        return self.fitted(*self.normalised(x))

    def fitted(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """Features (B, F) of flux over continuum and its inverse variance, (B, P) both."""
        weight, snr = _relative(ivar)
        numbers = self._solve(flux, weight, self.config.iterations)
        return self.as_features(numbers[:, : self.config.components], snr, weight)

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Flux over continuum and its inverse variance (B, P), 0 at pixels that are rejected."""
        flux, ivar = x[:, 0], x[:, 1].clamp_min(0)
        flux = torch.where(ivar > 0, flux, torch.ones_like(flux))
        k = self.config.components
        for turn in range(self.config.passes - 1):
            found = self._solve(flux, _relative(ivar)[0], self.config.iterations // 2)
            shape = (1 + found[:, k:] @ self.legendre).clamp_min(0.05)
            flux, ivar = flux / shape, ivar * shape**2
            residual = flux - self.mean - found[:, :k] @ self.basis
            if self.config.reject:
                ivar = torch.where(self.outlying(residual, ivar), 0.0, ivar)
            if self.config.noise_floor and turn == self.config.passes - 2:
                ivar = ivar / self.excess(residual, ivar)
        return flux, ivar

    def outlying(self, residual: Tensor, ivar: Tensor) -> Tensor:
        """Which pixels (B, P) are too far off to be noise."""
        limit = self.config.reject**2 * (1 / ivar.clamp_min(1e-12) + self.config.reject_floor**2)
        return (residual.square() > limit) & (ivar > 0)

    def excess(self, residual: Tensor, ivar: Tensor) -> Tensor:
        """How much larger the variance of each pixel (B, P) is than quoted; alike in a chip."""
        known = torch.where(ivar > 0, ivar, torch.nan)
        out = torch.ones_like(ivar)
        for a, b in self.config.chips:
            found = (residual[:, a:b].square() * known[:, a:b]).nanmedian(dim=1).values
            own = known[:, a:b].nanmedian(dim=1).values
            ratio = found / MEDIAN_SQUARE - self.config.noise_floor**2 * own
            out[:, a:b] = torch.nan_to_num(ratio, nan=1.0).clamp(1.0, 1e4)[:, None]
        return out

    def as_features(self, numbers: Tensor, snr: Tensor, weight: Tensor) -> Tensor:
        """Components (B, K), signal to noise (B,) and weights (B, P) as the dense layers like."""
        return torch.cat([numbers / self.power, self.extras(snr, weight)], dim=1)

    def extras(self, snr: Tensor, weight: Tensor) -> Tensor:
        """What the dense layers see beside components: of signal to noise (B,), weights (B, P).

        log10 of the signal to noise less 2, the masked part, and log10 of the information in each
        chip over that of a chip whose pixels all have the median weight.
        """
        masked = (weight <= 0).to(weight.dtype).mean(dim=1)
        extra = [torch.log10(snr.clamp(1.0, 1e4)) - 2, masked]
        if self.config.chip_snr:
            for a, b in self.config.chips:
                extra.append(0.5 * torch.log10(weight[:, a:b].mean(dim=1).clamp(1e-3, 1e3)))
        return torch.stack(extra, dim=1)

    def _solve(self, flux: Tensor, weight: Tensor, iterations: int) -> Tensor:
        """Components and continuum (B, K + Q) that fit flux (B, P) best, by conjugate gradients."""
        design, ridge, inverse = self.solver()
        target = (weight * (flux - self.mean)) @ design.T

        def normal(v: Tensor) -> Tensor:
            return (weight * (v @ design)) @ design.T + ridge * v

        return conjugate_gradients(normal, target, inverse, iterations)

    def solver(self) -> tuple[Tensor, Tensor, Tensor]:
        """Design (K + Q, P), ridge (K + Q,), and inverse normal matrix for average weights."""
        made = None if self._solver is None else self._solver[0]
        if made is None or (made.device, made.dtype) != (self.mean.device, self.mean.dtype):
            with torch.inference_mode(False), torch.no_grad():
                design = torch.cat([self.basis, self.mean * self.legendre])
                snr2 = self.config.prior_snr**2
                loose = torch.full_like(self.legendre[:, 0], 1e-4)
                ridge = torch.cat([1 / (snr2 * self.power**2), loose])
                wide = design.double()
                normal = (wide * self.weight) @ wide.T + torch.diag(ridge.double())
                self._solver = (design, ridge, torch.linalg.inv(normal).to(design.dtype))
        return self._solver  # type: ignore[return-value]


def _forget(reader: nn.Module, _: object) -> None:
    """What follows from the components is made anew after weights are loaded."""
    assert isinstance(reader, Reader)
    reader._solver = None


def legendre(config: ReaderConfig) -> Tensor:
    """Legendre polynomials of every chip, 0 outside it: (chips * (order + 1), P)."""
    rows = np.zeros((len(config.chips) * (config.order + 1), config.n_pixels), dtype=np.float32)
    for c, (a, b) in enumerate(config.chips):
        at = np.linspace(-1, 1, b - a)
        part = np.polynomial.legendre.legvander(at, config.order).T
        rows[c * (config.order + 1) : (c + 1) * (config.order + 1), a:b] = part
    return torch.from_numpy(rows)


def _relative(ivar: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, P) in units of the median one of good pixels, and signal to noise (B,)."""
    good = torch.where(ivar > 0, ivar, torch.full_like(ivar, math.nan))
    middle = torch.nan_to_num(good.nanmedian(dim=1).values, nan=1.0).clamp_min(1e-12)
    weight = (ivar / middle[:, None]).clamp_max(HEAVIEST)
    return weight, middle.sqrt()


def conjugate_gradients(normal: object, target: Tensor, inverse: Tensor, iterations: int) -> Tensor:
    """Solution (B, M) of ``normal(v) = target`` for every row, preconditioned by a matrix.

    Hestenes and Stiefel 1952; each row has a matrix of its own, near ``inverse``'s.
    """
    x = target @ inverse
    residual = target - normal(x)  # type: ignore[operator]
    z = residual @ inverse
    direction, rz = z, (residual * z).sum(dim=1, keepdim=True)
    for _ in range(iterations):
        image = normal(direction)  # type: ignore[operator]
        step = rz / (direction * image).sum(dim=1, keepdim=True).clamp_min(1e-20)
        x = x + step * direction
        residual = residual - step * image
        z = residual @ inverse
        fresh = (residual * z).sum(dim=1, keepdim=True)
        direction = z + fresh / rz.clamp_min(1e-20) * direction
        rz = fresh
    return x
