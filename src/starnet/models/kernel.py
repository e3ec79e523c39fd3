"""Real spectra read through networks that learnt synthetic ones: regression on few stars.

What pre-trained readers say of a spectrum, and its principal components in the training spectra,
are the features; a Gaussian process over them gives the labels (Rasmussen and Williams 2006,
Gaussian Processes for Machine Learning, chapter 2). Its mean is what a single layer gives whose
units are the training stars,

    label = sum over stars of weight * kernel(features, features of the star).

The kernel is a constant, a linear one for each group of features, a Matern 3/2 one over the
components and another over what the readers say, and a linear one of what they say of the label
itself: with a hundred stars, most of what can be learnt is how far that is to be trusted.

The variance of that mean (equation 2.26 there) follows from the stars and from the precision of
each star's label, so that these are all that a network with errors keeps.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from starnet.errors import ConfigError, ModelError
from starnet.models.projection import Projection, ProjectionConfig
from starnet.models.reader import Reader, ReaderConfig
from starnet.models.registry import register

LIMIT = 3.0
"""What readers say counts up to this, in units of the spread of their own training labels."""
STEEPEST = 8.0
"""Natural logarithm of the largest amplitude and length."""


@dataclass(frozen=True)
class KernelConfig:
    """Everything that defines a `Kernel` but its numbers.

    Attributes
    ----------
    n_pixels, n_labels : int
    n_channels : int
        2: flux, and inverse variance (0 where masked).
    n_stars : int
        Training stars that it keeps.
    readers : tuple of mapping
        Settings of `ReaderConfig` for each pre-trained reader, without ``n_pixels``; in
        ``pixels`` the range (start, stop) that it reads.
    scales, components, first_pixel, pixel_power
        Of the principal components of the log spectrum; see `ProjectionConfig`.
    own : tuple of tuples of int
        For each label the places, among what the readers say, where they say the same label. Those
        have a linear kernel of their own. Empty: no label has.
    spread : bool
        Whether it keeps what `Kernel.mean_and_variance` needs.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 2
    n_stars: int = 500
    readers: tuple[Mapping[str, Any], ...] = ()
    scales: tuple[float, ...] = (0.0, 10.0, 40.0)
    components: tuple[int, ...] = (40, 80, 80)
    first_pixel: int = 0
    pixel_power: float = 0.5
    own: tuple[tuple[int, ...], ...] = ()
    spread: bool = False

    def __post_init__(self) -> None:
        for name in ("readers", "scales", "components"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "own", tuple(tuple(places) for places in self.own))
        if self.n_channels != 2 or self.n_stars < 1:
            raise ConfigError(
                "A kernel takes 2 channels (flux, ivar) and at least 1 star; received "
                f"{self.n_channels} and {self.n_stars}."
            )
        for reader in self.readers:
            a, b = reader.get("pixels", (0, 0))
            if not 0 <= a < b <= self.n_pixels:
                raise ConfigError(
                    f"The pixels of a reader must lie within 0 to {self.n_pixels}; received "
                    f"{a} to {b}."
                )
        self.projection()
        said = sum(int(c.n_labels) for c in self.reader_configs())
        places = [place for own in self.own for place in own]
        if self.own and (len(self.own) != self.n_labels or not {*places} <= {*range(said)}):
            raise ConfigError(
                f"own has places from 0 to below {said} for each of {self.n_labels} labels, or is "
                f"empty; received {self.own}."
            )

    def projection(self) -> ProjectionConfig:
        """Of the principal components."""
        return ProjectionConfig(
            self.n_pixels,
            self.n_labels,
            scales=self.scales,
            components=self.components,
            views=tuple((i,) for i in range(len(self.scales))),
            members=1,
            hidden=(1,),
            first_pixel=self.first_pixel,
            pixel_power=self.pixel_power,
            whiten_power=0.0,
        )

    def reader_configs(self) -> list[ReaderConfig]:
        """Of the readers, each with its number of pixels."""
        out = []
        for reader in self.readers:
            settings = {k: v for k, v in reader.items() if k not in ("family", "pixels")}
            a, b = reader["pixels"]
            out.append(ReaderConfig(**{**settings, "n_pixels": b - a}))
        return out

    @property
    def groups(self) -> tuple[int, ...]:
        """Number of features in each group: components of each scale, then readers' labels."""
        said = sum(int(c.n_labels) for c in self.reader_configs())
        return (*self.components, said) if said else self.components


@register("kernel", KernelConfig)
class Kernel(nn.Module):
    """The network of a `KernelConfig`: (B, 2, P) flux and ivar to (B, L) scaled labels.

    `set_features` gives it readers and components, `training.finetune` all else.
    """

    center: Tensor
    basis: Tensor
    middle: Tensor
    size: Tensor
    stars: Tensor
    precision: Tensor
    noise: Tensor

    def __init__(self, config: KernelConfig) -> None:
        super().__init__()
        self.config = config
        total, d = sum(config.components), sum(config.groups)
        smooth = 2 if config.readers else 1
        self.register_buffer("center", torch.zeros(config.n_pixels))
        start = torch.randn(config.n_pixels, total) / math.sqrt(config.n_pixels)
        self.register_buffer("basis", start)
        self.register_buffer("middle", torch.zeros(d))
        self.register_buffer("size", torch.ones(d))
        self.register_buffer("stars", torch.randn(config.n_stars, d))
        self.readers = nn.ModuleList(Reader(c) for c in config.reader_configs())
        n, g = config.n_labels, len(config.groups)
        self.constant = nn.Parameter(torch.zeros(n))  # logarithms of amplitudes and lengths
        self.linear = nn.Parameter(torch.full((n, g), math.log(0.1)))
        self.smooth = nn.Parameter(torch.full((n, smooth), math.log(0.5)))
        self.length = nn.Parameter(torch.full((n, g), math.log(3.0)))
        if config.own:
            self.trust = nn.Parameter(torch.full((n,), math.log(0.5)))
        self.weight = nn.Parameter(torch.randn(n, config.n_stars) / config.n_stars)
        self.rest = nn.Parameter(torch.zeros(n, config.n_stars))  # what half precision cuts off
        self._inverse: Tensor | None = None
        if config.spread:
            self.register_buffer("precision", torch.full((n, config.n_stars), 25.0))
            self.register_buffer("noise", torch.full((n,), 0.04))
            self.register_load_state_dict_post_hook(_forget)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled labels (B, L) of flux and inverse variance (B, 2, P)."""
        shapes = self.shapes(self.features(x), self.stars)
        weight = self.weight + self.rest
        each = [self.kernel(*shapes, i) @ weight[i] for i in range(len(weight))]
        return torch.stack(each, dim=1)

    def mean_and_variance(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled labels (B, L), their variance (B, L), and that of the labels' noise (L,).

        The variance is of what the labels are without noise: it grows away from the stars. A
        label in a table such as that of the training stars differs by the sum of both.

        Raises
        ------
        ModelError
            If the network was made without ``spread``.
        """
        if not self.config.spread:
            raise ModelError(
                "This kernel keeps no variance: it was made with spread=False. Fine-tune again "
                "with spread: true in the network's settings."
            )
        features = self.features(x)
        shapes = self.shapes(features, self.stars)
        inverse = self.inverse().to(x.device)
        variance, mean = [], []
        for i, weight in enumerate(self.weight + self.rest):
            near = self.kernel(*shapes, i)  # (B, N)
            mean.append(near @ weight)
            wide = near.double()  # two large numbers differ by a small one
            known = ((wide @ inverse[i]) * wide).sum(dim=1)
            variance.append((self.prior(features, i) - known).clamp_min(1e-8).to(near.dtype))
        return torch.stack(mean, dim=1), torch.stack(variance, dim=1), self.noise

    @torch.no_grad()
    def inverse(self) -> Tensor:
        """Inverse covariance (L, N, N) of the stars' labels; 0 where a star has no label."""
        if self._inverse is None:
            with torch.inference_mode(mode=False):  # it is kept, for gradients too
                exact = copy.deepcopy(self).double().cpu()
                shapes = exact.shapes(exact.stars, exact.stars)
                own = [exact.kernel(*shapes, i) for i in range(self.config.n_labels)]
                parts = [inverse_of(k, p) for k, p in zip(own, exact.precision, strict=True)]
                self._inverse = torch.stack(parts)
        return self._inverse

    def prior(self, features: Tensor, i: int) -> Tensor:
        """Kernel (B,) of each row of features with itself."""
        parts = list(features.split(self.config.groups, 1))
        none = torch.zeros(len(parts), 1, len(features), device=features.device)
        parts += [parts[-1][:, list(places)] for places in self.config.own]
        products = torch.stack([(part * part).sum(dim=1)[None] for part in parts])
        return self.kernel(products, none.to(features.dtype), i)[0]

    def raw_features(self, x: Tensor) -> Tensor:
        """Components and what the readers say (B, D), as they come."""
        log = x[:, 0].clamp(min=1e-4).log()
        parts = [(log - self.center) @ self.basis]
        for reader, settings in zip(self.readers, self.config.readers, strict=True):
            a, b = settings["pixels"]
            flux, ivar = x[:, 0, a:b], x[:, 1, a:b].clamp_min(0)
            good = (ivar > 0).to(flux.dtype)
            level = (good * flux.abs()).sum(dim=1, keepdim=True) / good.sum(dim=1, keepdim=True)
            level = torch.nan_to_num(level, nan=1.0).clamp_min(1e-6)
            said = reader(torch.stack([flux / level, ivar * level**2], dim=1))
            parts.append(LIMIT * torch.tanh(said / LIMIT))
        return torch.cat(parts, dim=1)

    def features(self, x: Tensor) -> Tensor:
        """Features (B, D) in the units of the training stars."""
        return (self.raw_features(x) - self.middle) / self.size

    def shapes(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Products (G + L, A, B) and squared distances (G, A, B) of features in each group.

        After the groups come, where the configuration has them, the products of what the readers
        say of each label itself.
        """
        products, squares = [], []
        for a, b in zip(
            one.split(self.config.groups, 1), other.split(self.config.groups, 1), strict=True
        ):
            product = a @ b.T
            square = (a * a).sum(dim=1)[:, None] + (b * b).sum(dim=1) - 2 * product
            products.append(product)
            squares.append(square.clamp_min(0))
        first = one.shape[1] - self.config.groups[-1]
        for places in self.config.own:
            at = [first + place for place in places]
            products.append(one[:, at] @ other[:, at].T)
        return torch.stack(products), torch.stack(squares)

    def kernel(self, products: Tensor, squares: Tensor, i: int) -> Tensor:
        """Kernel (A, B) of a label from what `shapes` gives."""
        constant, linear, smooth, length = (
            p[i].clamp(-STEEPEST, STEEPEST)
            for p in (self.constant, self.linear, self.smooth, self.length)
        )
        groups = len(self.config.groups)
        out = constant.exp() + torch.tensordot(linear.exp(), products[:groups], dims=1)
        if self.config.own:
            out = out + self.trust[i].clamp(-STEEPEST, STEEPEST).exp() * products[groups + i]
        scaled = (-2 * length).exp()[:, None, None] * squares
        n = len(self.config.components)
        for amplitude, part in zip(smooth.exp(), (scaled[:n], scaled[n:]), strict=False):
            s = torch.sqrt(3 * part.sum(dim=0) + 1e-9)
            out = out + amplitude * (1 + s) * torch.exp(-s)
        return out

    @torch.no_grad()
    def set_features(self, inputs: np.ndarray, readers: list[Reader]) -> None:
        """Take over pre-trained readers and the features of training inputs (N, 2, P).

        Everything is rounded to half precision first, in which models are shipped.
        """
        for own, given in zip(self.readers, readers, strict=True):
            assert isinstance(own, Reader)
            own.load_state_dict({k: v.half().float() for k, v in given.state_dict().items()})
        projection = Projection(self.config.projection())
        projection.fit_inputs(inputs)
        self.center.copy_(projection.center.half())
        self.basis.copy_(projection.basis.half())
        x = torch.as_tensor(inputs, dtype=torch.float32)
        raw = torch.cat([self.raw_features(part) for part in x.split(100)])
        said = raw[:, sum(self.config.components) :]
        self.middle.copy_(raw.mean(dim=0).half())
        groups = (raw - self.middle).split(self.config.groups, dim=1)
        sizes = [g.square().sum(dim=1).mean().sqrt().clamp_min(1e-6).expand(g.shape[1])
                 for g in groups]  # fmt: skip
        if said.shape[1]:
            sizes[-1] = said.std(dim=0).clamp_min(1e-6)
        self.size.copy_(torch.cat(sizes).half())
        self.stars.copy_(((raw - self.middle) / self.size).half())


def inverse_of(kernel: Tensor, precision: Tensor) -> Tensor:
    """Inverse of ``kernel + diag(1 / precision)`` (N, N); rows of zero precision are zero.

    Rasmussen and Williams 2006, section 3.4.3: only a matrix with eigenvalues of at least 1 is
    inverted.
    """
    root = precision.sqrt()
    scaled = root[:, None] * kernel * root + torch.eye(len(root), dtype=kernel.dtype)
    return root[:, None] * torch.cholesky_inverse(torch.linalg.cholesky(scaled)) * root


def _forget(kernel: nn.Module, _: object) -> None:
    assert isinstance(kernel, Kernel)
    kernel._inverse = None


def reader_settings(reader: Reader, pixels: tuple[int, int]) -> dict[str, Any]:
    """A reader of these pixels as an entry of `KernelConfig.readers`."""
    values = dataclasses.asdict(reader.config)
    values.pop("n_pixels")
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    plain["chips"] = [list(chip) for chip in values["chips"]]
    return {"family": "reader", **plain, "pixels": list(pixels)}
