"""Residual network along the spectrum.

He, Zhang, Ren and Sun 2015 (arXiv:1512.03385), in one dimension: a strided stem, stages of basic
blocks that halve the length as they widen, batch normalisation. Spectra are aligned, so features
are averaged over stretches of the spectrum and not over all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from starnet.errors import ConfigError
from starnet.models._parts import PixelScale, Readout, check_dropout, check_sizes, check_stages
from starnet.models.registry import register


@dataclass(frozen=True)
class ResNetConfig:
    """Everything that defines a `ResNet` but its weights.

    Attributes
    ----------
    n_pixels, n_labels : int
        Length of the input spectrum and number of outputs.
    n_channels : int
        1 for flux alone, 2 with the mask as second channel.
    widths, blocks : tuple of int
        Features of each stage, and its blocks; every stage but the first halves the length.
    kernel : int
        Length of the convolutions in blocks; odd.
    stem_kernel, stem_stride : int
        Length and step of the first convolution; the step decides most of the cost.
    positions : int
        Stretches of the spectrum over which features are averaged; 1 averages over all of it, as
        in the paper.
    dense : tuple of int
        Hidden nodes between features and labels.
    dropout : float
        Share of the inputs of dense layers dropped in training.
    """

    n_pixels: int
    n_labels: int
    n_channels: int = 1
    widths: tuple[int, ...] = (24, 32, 48)
    blocks: tuple[int, ...] = (1, 1, 1)
    kernel: int = 3
    stem_kernel: int = 32
    stem_stride: int = 16
    positions: int = 57
    dense: tuple[int, ...] = (128,)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self, "n_pixels", "n_labels", "n_channels", "widths", "blocks", "kernel")
        check_sizes(self, "stem_kernel", "stem_stride", "positions", "dense")
        check_dropout(self.dropout)
        check_stages(self.widths, self.blocks, self.kernel)
        if self.n_pixels < self.stem_kernel:
            raise ConfigError(
                f"n_pixels must be at least stem_kernel, {self.stem_kernel}; "
                f"received {self.n_pixels}."
            )

    @property
    def length(self) -> int:
        """Length of the features after the last stage."""
        length = (self.n_pixels - self.stem_kernel) // self.stem_stride + 1
        for _ in self.widths[1:]:
            length = -(-length // 2)
        return length


class _Block(nn.Module):
    """Two convolutions and the way past them; ``step`` 2 halves the length."""

    def __init__(self, n_in: int, n_out: int, kernel: int, step: int) -> None:
        super().__init__()
        side = kernel // 2
        self.first = nn.Conv1d(n_in, n_out, kernel, step, side, bias=False)
        self.first_norm = nn.BatchNorm1d(n_out)
        self.second = nn.Conv1d(n_out, n_out, kernel, 1, side, bias=False)
        self.second_norm = nn.BatchNorm1d(n_out)
        same = n_in == n_out and step == 1
        self.past = nn.Identity() if same else nn.Conv1d(n_in, n_out, 1, step, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, F, P) to (B, F', P / step)."""
        out = functional.relu(self.first_norm(self.first(h)))
        return functional.relu(self.second_norm(self.second(out)) + self.past(h))


@register("resnet", ResNetConfig)
class ResNet(nn.Module):
    """The network of a `ResNetConfig`: (B, C, P) spectra to (B, L) scaled labels."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.scale = PixelScale(config.n_pixels)
        self.stem = nn.Conv1d(
            config.n_channels, widths[0], config.stem_kernel, config.stem_stride, bias=False
        )
        self.stem_norm = nn.BatchNorm1d(widths[0])
        layers: list[nn.Module] = [
            _Block(widths[0], widths[0], config.kernel, 1) for _ in range(config.blocks[0])
        ]
        for (n_in, n_out), count in zip(pairwise(widths), config.blocks[1:], strict=True):
            layers.append(_Block(n_in, n_out, config.kernel, 2))
            layers += [_Block(n_out, n_out, config.kernel, 1) for _ in range(count - 1)]
        self.layers = nn.Sequential(*layers)
        self.readout = Readout(
            widths[-1], config.length, config.positions, config.dense, config.n_labels,
            config.dropout,
        )  # fmt: skip
        self.apply(_he_normal)

    def fit_inputs(self, inputs: NDArray[Any]) -> None:
        """Take the scale of pixels from training inputs (N, C, P)."""
        self.scale.fit(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Labels (B, L) of spectra (B, C, P)."""
        h = functional.relu(self.stem_norm(self.stem(self.scale(x))))
        return self.readout(self.layers(h))


def _he_normal(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
