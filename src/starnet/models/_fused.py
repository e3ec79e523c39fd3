"""The block conv -> ReLU -> conv -> ReLU -> max-pool: one compiled pass on CPU, torch elsewhere.

Both ways give the same numbers to rounding. The compiled one (``_conv_block.c``) serves plain
float32 CPU tensors; a GPU, other dtypes, compilation, export, function transforms, autocast and
gradients of gradients take the ordinary torch operations. ``STARNET_FUSED=0`` in the environment
turns the compiled one off.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from starnet.models import _kernel

Weights = tuple[Tensor, Tensor, Tensor, Tensor]

_enabled: ContextVar[bool] = ContextVar("starnet_fused", default=True)


@contextmanager
def plain_operations() -> Iterator[None]:
    """Within this context every network uses ordinary torch operations."""
    token = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(token)


def conv_block(
    x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, *, pool: int, same: bool
) -> Tensor:
    """Two convolutions with ReLU, then max-pooling.

    Parameters
    ----------
    x : (B, C, P)
    w1, b1 : (F1, C, K), (F1,)
    w2, b2 : (F2, F1, K), (F2,)
    pool : int
        Pooling length and step; a remainder is dropped.
    same : bool
        Zero padding that keeps the length, the odd zero on the right; else none.

    Returns
    -------
    (B, P', F2)
        Position before filter, as Keras flattens it.
    """
    weights = (w1, b1, w2, b2)
    shape = shape_of(weights, pool, same)
    if serves(x, weights, shape):
        return _ConvBlock.apply(x, *weights, shape)  # type: ignore[return-value]
    return torch_block(x, weights, shape)


def shape_of(weights: Weights, pool: int, same: bool) -> _kernel.BlockShape:
    """What the block of these weights is compiled for."""
    w1, _, w2, _ = weights
    total = w1.shape[2] - 1 if same else 0
    left, right = total // 2, total - total // 2
    return _kernel.BlockShape(
        w1.shape[1], w1.shape[0], w2.shape[0], w1.shape[2], pool, pad_left=left, pad_right=right
    )


def serves(x: Tensor, weights: Weights, shape: _kernel.BlockShape) -> bool:
    """Whether the compiled block may be used."""
    if x.dim() != 3 or x.shape[1] != shape.channels:
        return False  # torch says what is wrong
    return _plain_float32((x, *weights)) and shape.fits() and _trusted(shape)


def torch_block(x: Tensor, weights: Weights, shape: _kernel.BlockShape) -> Tensor:
    """The block by torch's operations."""
    w1, b1, w2, b2 = weights
    sides = (shape.pad_left, shape.pad_right)
    h = functional.relu(functional.conv1d(zero_padded(x, sides), w1, b1))  # (B, F1, P1)
    h = functional.relu(functional.conv1d(zero_padded(h, sides), w2, b2))  # (B, F2, P2)
    return functional.max_pool1d(h, shape.pool).transpose(1, 2)  # -> (B, P2 / pool, F2)


def zero_padded(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """``x`` with zeros left and right along its last axis; itself when there are none to add."""
    return functional.pad(x, sides) if any(sides) else x


def _plain_float32(tensors: Sequence[Tensor]) -> bool:
    """Whether raw memory may be handed to C, and nothing is being traced or transformed."""
    if (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch.onnx.is_in_onnx_export()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
        or not _enabled.get()
        or os.environ.get("STARNET_FUSED") == "0"
    ):
        return False
    return all(
        type(t) in (Tensor, torch.nn.Parameter) and t.dtype == torch.float32 and t.is_cpu
        for t in tensors
    )


class _ConvBlock(torch.autograd.Function):
    """The compiled block under autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        shape: _kernel.BlockShape,
    ) -> Tensor:
        out = x.new_empty(x.shape[0], shape.pooled(x.shape[2]), shape.filters2)
        place = None
        if any(ctx.needs_input_grad):
            place = torch.empty_like(out, dtype=torch.uint8)
            ctx.save_for_backward(x, w1, b1, w2, b2, place)
            ctx.shape = shape
        run_forward([t.contiguous() for t in (x, w1, b1, w2, b2)], out, place, shape)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, w1, b1, w2, b2, place = ctx.saved_tensors
        needs, weights = ctx.needs_input_grad[:5], (w1, b1, w2, b2)
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            return (*_differentiable(grads[0], x, weights, ctx.shape, needs), None)
        sizes = [t.numel() for t in weights]
        dx = x.new_empty(x.shape) if needs[0] else None
        dw = x.new_empty(sum(sizes)) if any(needs[1:]) else None
        held = [t.contiguous() for t in (x, w1, b1, w2, grads[0])]
        xp, *others = [t.data_ptr() for t in held]
        ends = [address(t) for t in (place, dw, dx)]
        backward = library(ctx.shape).starnet_backward
        check(backward(xp, x.shape[0], x.shape[2], *others, *ends, threads(x)))
        if dw is None:
            return dx, None, None, None, None, None
        parts = [d.view_as(t) for d, t in zip(dw.split(sizes), weights, strict=True)]
        return (dx, *[d if need else None for d, need in zip(parts, needs[1:], strict=True)], None)


def _differentiable(
    g: Tensor, x: Tensor, weights: Weights, shape: _kernel.BlockShape, needs: Sequence[bool]
) -> list[Tensor | None]:
    """The gradient by torch operations, so that it has a gradient itself."""
    inputs = (x, *weights)
    wanted = [t for t, need in zip(inputs, needs, strict=True) if need]
    found = iter(torch.autograd.grad(torch_block(x, weights, shape), wanted, g, create_graph=True))
    return [next(found) if need else None for need in needs]


def run_forward(
    held: Sequence[Tensor], out: Tensor, place: Tensor | None, shape: _kernel.BlockShape
) -> None:
    """The compiled forward pass of contiguous tensors (x, w1, b1, w2, b2)."""
    x, *_ = held
    at = [address(t) for t in (*held[1:], out, place)]
    check(library(shape).starnet_forward(address(x), x.shape[0], x.shape[2], *at, threads(x)))


def library(shape: _kernel.BlockShape) -> ctypes.CDLL:
    """The compiled functions."""
    found = _kernel.load(shape)
    if found is None:
        raise RuntimeError("the compiled convolution was asked for where it does not exist")
    return found


def address(tensor: Tensor | None) -> int | None:
    """Where its numbers lie."""
    return None if tensor is None else tensor.data_ptr()


@functools.cache
def _trusted(shape: _kernel.BlockShape) -> bool:
    """Whether the block compiles here and agrees with torch on a small example.

    Compilers differ, and some are wrong: the example spans two tiles of the gradient and costs a
    millisecond once.
    """
    if _kernel.load(shape) is None:
        return False
    with torch.inference_mode(False), torch.enable_grad():
        inputs = example(shape)
        x, *weights = inputs
        ours = _ConvBlock.apply(x, *weights, shape)
        torchs = torch_block(x, cast(Weights, tuple(weights)), shape)
        g = drawn(ours.shape, 2)
        found = (ours, *torch.autograd.grad(ours, inputs, g))
        wanted = (torchs, *torch.autograd.grad(torchs, inputs, g))
    return agree(found, wanted)


def example(shape: _kernel.BlockShape) -> list[Tensor]:
    """Spectra and weights that span two tiles of the gradient."""
    kernel = shape.kernel
    sizes = [
        (2, shape.channels, 2 * (kernel - 1) + shape.pool * 70),
        (shape.filters1, shape.channels, kernel),
        (shape.filters1,),
        (shape.filters2, shape.filters1, kernel),
        (shape.filters2,),
    ]
    return [drawn(size, 10 + i).requires_grad_() for i, size in enumerate(sizes)]


def drawn(size: Sequence[int], seed: int) -> Tensor:
    """Normal numbers, whatever torch's defaults are."""
    draw = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(tuple(size), generator=draw, device="cpu", dtype=torch.float32)


def agree(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """A near-tie in a pool may be broken otherwise, so one value may differ, but not many."""
    pairs = zip(found, wanted, strict=True)
    if agree := all((a - b).norm() <= 0.02 * b.norm() for a, b in pairs):
        return agree
    _kernel.say_once("what the C compiler made of it gives other numbers than torch")
    return False


def threads(x: Tensor) -> int:
    return max(1, min(torch.get_num_threads(), x.shape[0]))


def check(failed: int) -> None:
    if failed:
        raise MemoryError("the convolution found no memory; use a smaller batch")
