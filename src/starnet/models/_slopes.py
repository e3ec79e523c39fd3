"""The compiled convolution block, differentiated for many outputs at once; see `_fused`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from starnet.models import _kernel
from starnet.models._fused import (
    Weights,
    address,
    agree,
    check,
    drawn,
    example,
    library,
    run_forward,
    serves,
    shape_of,
    threads,
    torch_block,
)


@dataclass(frozen=True, eq=False)
class OpenBlock:
    """The compiled block after its forward pass, ready to be differentiated for many outputs.

    Attributes
    ----------
    out : (B, P', F2)
        What `conv_block` returns.
    """

    out: Tensor
    _x: Tensor
    _weights: Weights
    _place: Tensor
    _shape: _kernel.BlockShape

    @classmethod
    def of(cls, x: Tensor, weights: Weights, *, pool: int, same: bool) -> OpenBlock | None:
        """The block of spectra (B, C, P), or None where the compiled one does not serve."""
        shape = shape_of(weights, pool, same)
        if not (serves(x, weights, shape) and _trusted(shape)):
            return None
        return cls._opened(x, weights, shape)

    @classmethod
    def _opened(cls, x: Tensor, weights: Weights, shape: _kernel.BlockShape) -> OpenBlock:
        held = [t.detach().contiguous() for t in (x, *weights)]
        out = x.new_empty(x.shape[0], shape.pooled(x.shape[2]), shape.filters2)
        place = torch.empty_like(out, dtype=torch.uint8)
        run_forward(held, out, place, shape)
        return cls(out, held[0], cast(Weights, tuple(held[1:])), place, shape)

    def product(self, v: Tensor, weight: Tensor) -> Tensor:
        """``v @ weight``, (B, L, H) and (H, N) to (B, L, N), for v with whole columns of zeros.

        The nodes that ReLU shut in a spectrum cost nothing there; with one output there is too
        little to gain.
        """
        if v.shape[1] == 1:
            return v @ weight.detach()
        v, weight = v.contiguous(), weight.detach().contiguous()
        n_columns = weight.shape[1]
        out = v.new_empty(*v.shape[:2], n_columns)
        product, ends = library(self._shape).starnet_product, (n_columns, address(out))
        check(product(address(v), *v.shape, address(weight), *ends, torch.get_num_threads()))
        return out

    def slopes(self, g: Tensor, channel: int = 0) -> Tensor:
        """Slopes of L outputs with respect to one channel of the spectra, (B, L, P).

        Parameters
        ----------
        g : (B, L, P', F2)
            Their slopes with respect to ``out``. Only maxima that ReLU let through are followed.
        channel : int
        """
        x, (w1, b1, w2, _), g = self._x, self._weights, g.contiguous()
        n, _, n_pixels = x.shape
        dx = x.new_empty(n, g.shape[1], n_pixels)
        at = [address(t) for t in (w1, b1, w2, g, self._place)]
        slopes, ends = library(self._shape).starnet_slopes, (g.shape[1], channel, address(dx))
        check(slopes(address(x), n, n_pixels, *at, *ends, threads(x)))
        return dx


@functools.cache
def _trusted(shape: _kernel.BlockShape) -> bool:
    """Whether the slopes of several outputs, of a block that is trusted, agree with torch."""
    with torch.inference_mode(False), torch.enable_grad():
        x, *weights = example(shape)
        held = cast(Weights, tuple(weights))
        block = OpenBlock._opened(x, held, shape)
        nodes = functional.relu(drawn((2, 1, 9), 2)) * drawn((2, 7, 9), 3)
        matrix = drawn((9, block.out[0].numel()), 4)
        g = (nodes @ matrix).unflatten(2, block.out.shape[1:])
        torchs = torch_block(x, held, shape)
        each = [torch.autograd.grad(torchs, x, g[:, i], retain_graph=True)[0] for i in range(7)]
        last = shape.channels - 1
        found = (block.product(nodes, matrix).view_as(g), block.slopes(g, last))
    return agree(found, (g, torch.stack(each, dim=1)[:, :, last]))
