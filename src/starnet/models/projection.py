"""Small networks on principal components of the log spectrum, for training sets of hundreds.

A spectrum enters as its logarithm, in which continuum and lines add up: once as it is, and once
with everything broader than a given scale taken out, for several such scales. Each version is
projected on its principal components in the training spectra, partly whitened, and pairs of
versions ("views") feed small dense networks with a linear bypass. Noise on the components in
training keeps hundreds of stars from being learnt by heart. All of that before the dense layers
is linear in the log spectrum, so it is one matrix.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models.registry import register


@dataclass(frozen=True)
class ProjectionConfig:
    """Everything that defines a `Projection` but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
        Length of the spectrum and number of outputs.
    n_channels : int
        Channels of the input; the flux is the first, others are not looked at.
    scales : tuple of float
        Versions of the log spectrum: 0 for the whole of it, else the sigma in pixels of the
        Gaussian whose smooth is taken out.
    components : tuple of int
        Principal components of each version, at most.
    views : tuple of tuple of int
        Versions, by their place in ``scales``, that feed each kind of member.
    members : int
        Members of each view, differing by initial weights and noise.
    hidden : tuple of int
        Nodes of the hidden layers of a member.
    first_pixel : int
        Filtered versions begin here; crowded blue ends are hard to normalise.
    pixel_power, whiten_power : float
        Pixels of filtered versions, and components, are divided by this power of their standard
        deviation in the training spectra: 0 leaves them, 1 makes them all alike.
    noise : float
        Noise on the components in training, in units of their mean size.
    shift, width : float
        Random shift of the spectrum in training (sigma, in pixels), and random change of its line
        width (sigma of the change of the squared width, in pixels squared, is ``width**2``).
        Both act through derivatives of the log spectrum, to first order.
    floor : float
        Smallest flux, in units of the input, of which the logarithm is taken.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    scales: tuple[float, ...] = (0.0, 20.0, 60.0, 150.0)
    components: tuple[int, ...] = (40, 80, 80, 80)
    views: tuple[tuple[int, ...], ...] = ((0, 1), (0, 2), (0, 3))
    members: int = 5
    hidden: tuple[int, ...] = (128, 64)
    first_pixel: int = 0
    pixel_power: float = 0.5
    whiten_power: float = 0.5
    noise: float = 0.4
    shift: float = 0.0
    width: float = 0.0
    floor: float = 1e-4

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(tuple(view) for view in self.views))
        if len(self.components) != len(self.scales) or min(self.components, default=0) < 1:
            raise ConfigError(
                "components must be a positive number for each of scales; received "
                f"{self.components} for {self.scales}."
            )
        used = {place for view in self.views for place in view}
        if not used or not used <= set(range(len(self.scales))) or self.members < 1:
            raise ConfigError(
                f"views must name places in scales (0 to {len(self.scales) - 1}) and members be "
                f"at least 1; received {self.views} and {self.members}."
            )
        if not 0 <= self.first_pixel < self.n_pixels:
            raise ConfigError(
                f"first_pixel must lie within {self.n_pixels} pixels; received {self.first_pixel}."
            )


class _MemberLinear(nn.Module):
    """A dense layer for each member, (M, B, I) to (M, B, O)."""

    def __init__(self, members: int, n_in: int, n_out: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, n_in, n_out) * math.sqrt(gain / n_in))
        self.bias = nn.Parameter(torch.zeros(members, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


@register("projection", ProjectionConfig)
class Projection(nn.Module):
    """The network of a `ProjectionConfig`: (B, C, P) spectra to (B, L) scaled labels.

    `fit_inputs` must see the training spectra before training: it sets the components.
    """

    center: Tensor
    basis: Tensor

    def __init__(self, config: ProjectionConfig) -> None:
        super().__init__()
        self.config = config
        total = sum(config.components)
        self.register_buffer("center", torch.zeros(config.n_pixels))
        start = torch.randn(config.n_pixels, total) / math.sqrt(config.n_pixels)
        self.register_buffer("basis", start)
        stops = np.cumsum(config.components)
        self._columns = [slice(b - n, b) for n, b in zip(config.components, stops, strict=True)]
        self._width = max(sum(config.components[c] for c in view) for view in config.views)
        members = len(config.views) * config.members
        sizes = (self._width, *config.hidden)
        self.layers = nn.ModuleList(
            _MemberLinear(members, a, b, 2.0) for a, b in itertools.pairwise(sizes)
        )
        self.head = _MemberLinear(members, sizes[-1], config.n_labels, 0.01)
        self.bypass = _MemberLinear(members, self._width, config.n_labels, 1e-4)

    def forward(self, x: Tensor) -> Tensor:
        """Mean labels of the members (B, L) of spectra (B, C, P)."""
        return self.member_outputs(x).mean(dim=0)

    def member_outputs(self, x: Tensor) -> Tensor:
        """Labels of every member (M, B, L)."""
        log = x[:, 0].clamp(min=self.config.floor).log()
        z = self._views(log - self.center)
        if self.training:
            z = self._jittered(z, log)
        hidden = z
        for layer in self.layers:
            hidden = functional.silu(layer(hidden))
        return self.head(hidden) + self.bypass(z)

    def _views(self, log: Tensor) -> Tensor:
        """What each member sees (M, B, K) of log spectra, or of changes to them, (B, P)."""
        components = log @ self.basis  # (B, P) -> (B, all components)
        views = [
            torch.cat([components[:, self._columns[c]] for c in view], dim=1)
            for view in self.config.views
        ]
        padded = [functional.pad(view, (0, self._width - view.shape[1])) for view in views]
        return torch.stack(padded).repeat_interleave(self.config.members, dim=0)

    def _jittered(self, z: Tensor, log: Tensor) -> Tensor:
        """With another shift, line width and noise for every member and spectrum."""
        config = self.config
        if config.shift or config.width:
            slope = torch.gradient(log, dim=1)[0]
            bend = torch.gradient(slope, dim=1)[0]
            each = torch.randn(2, *z.shape[:2], 1, dtype=z.dtype, device=z.device)
            z = z + config.shift * each[0] * self._views(slope)
            z = z + 0.5 * config.width**2 * each[1] * self._views(bend)
        return z + config.noise * torch.randn_like(z)

    @torch.no_grad()
    def fit_inputs(self, inputs: np.ndarray) -> None:
        """Set the principal components from training inputs (N, C, P).

        Jolliffe 2002, Principal Component Analysis, chapter 3. Where there are fewer spectra
        than components, the rest stay zero.
        """
        log = np.log(np.clip(inputs[:, 0].astype(float), self.config.floor, None))
        center = log.mean(axis=0)
        basis = np.zeros((self.config.n_pixels, sum(self.config.components)))
        versions = zip(self.config.scales, self.config.components, self._columns, strict=True)
        for scale, n, columns in versions:
            part = self._components(log - center, scale, n)
            basis[:, columns][:, : part.shape[1]] = part
        self.center.copy_(torch.from_numpy(center))
        self.basis.copy_(torch.from_numpy(basis))

    def _components(self, log: np.ndarray, scale: float, n: int) -> np.ndarray:
        """Projection (P, at most n) of the log spectrum on components of one version of it."""
        config = self.config
        filtered = log if scale == 0 else _filtered(log, scale)
        power = 0.0 if scale == 0 else config.pixel_power
        spread = filtered.std(axis=0)
        weight = np.where(spread > 1e-9, np.maximum(spread, 1e-9) ** -power, 0.0)
        if scale:
            weight[: config.first_pixel] = 0.0
        z = filtered * weight
        value, vector = np.linalg.eigh(z @ z.T)  # fewer stars than pixels: the small matrix
        keep = np.flatnonzero(value > 1e-10 * max(value.max(), 1e-30))[::-1][:n]
        value, vector = value[keep], vector[:, keep]
        std = np.sqrt(value / len(z))
        size = std ** (1 - config.whiten_power)
        whiten = std**-config.whiten_power * math.sqrt(len(keep) / np.sum(size**2))
        direction = weight[:, None] * (z.T @ vector / np.sqrt(value)) * whiten
        return direction if scale == 0 else _filtered_transpose(direction, scale)


def _filtered(rows: np.ndarray, sigma: float) -> np.ndarray:
    """Rows (N, P) without what is broader than ``sigma`` pixels."""
    return rows - gaussian_filter1d(rows, sigma, axis=1, mode="nearest")


def _filtered_transpose(columns: np.ndarray, sigma: float, block: int = 512) -> np.ndarray:
    """What rows must be multiplied with to give filtered rows times ``columns`` (P, K)."""
    n = len(columns)
    unit_rows = (np.eye(min(block, n - i), n, k=i) for i in range(0, n, block))
    return np.concatenate([_filtered(rows, sigma) @ columns for rows in unit_rows])
