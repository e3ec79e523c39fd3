"""The sum of Voigt profiles on an even grid: the step that takes most of the time.

On a CPU with a C compiler it is compiled (``_lines.c``); elsewhere (GPU, no compiler) torch does
the same in windows of similar width. Both have derivatives forward and backward. What it sums is
cut off where a line falls below a given level at a depth.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from starnet._compile import CannotCompileError, compiled

from .voigt import INV_SQRT_PI, voigt, voigt_slopes, weideman

log = logging.getLogger("starnet.synthesis")
SOURCE = Path(__file__).with_name("_lines.c")
OPTIMISE = (
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-fassociative-math",
    "-freciprocal-math",
    "-ffinite-math-only",
    "-D__FAST_MATH__=1",  # glibc then lends its vector functions
)
"""Parts of -ffast-math, which itself would switch off subnormal numbers in the whole process."""
LARGEST = 1 << 23
"""Elements of one window of the uncompiled sum."""

Fixed = tuple[Tensor, Tensor, int, int]
"""Cell of each line (N,), level of each row and cell (R, C), reach and pixels."""


def sum_lines(
    amplitude: Tensor,
    damping: Tensor,
    width: Tensor,
    centre: Tensor,
    cell: Tensor,
    level: Tensor,
    *,
    reach: int,
    n_pixels: int,
) -> Tensor:
    """Sum of N profiles in each of R rows: (R, P) float32.

    Parameters
    ----------
    amplitude, damping, width : tensor (R, N), float32
        What multiplies H(a, v), a, and the Doppler width in pixels.
    centre : tensor (N,), float64
        Line centres in pixels.
    cell : tensor (N,), int32
        Place of each line in ``level``.
    level : tensor (R, C), float32
        A line is left out, or cut off, where it adds less than this.
    reach : int
        Largest offset in pixels.
    n_pixels : int
        P.
    """
    return _LineSum.apply(  # type: ignore[no-any-return]
        amplitude, damping, width, centre, cell, level, reach, n_pixels
    )


class _LineSum(torch.autograd.Function):
    @staticmethod
    def forward(*args: Any) -> Tensor:
        tensors, fixed = args[:4], args[4:]
        return _way(args[0]).forward(tensors, fixed)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:6])
        ctx.save_for_forward(*inputs[:6])
        ctx.rest = inputs[6:]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        saved = ctx.saved_tensors
        out = _way(saved[0]).backward(saved[:4], (*saved[4:], *ctx.rest), grads[0])
        return (*out, None, None, None, None)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        saved = ctx.saved_tensors
        given = [
            torch.zeros_like(x) if t is None else t
            for x, t in zip(saved[:4], tangents[:4], strict=True)
        ]
        return _way(saved[0]).tangent(saved[:4], (*saved[4:], *ctx.rest), given)


def _way(tensor: Tensor) -> Any:
    if tensor.device.type == "cpu" and is_compiled():
        return _Compiled
    return _Windows


# ------------------------------------------------------------------ compiled


def is_compiled() -> bool:
    """Whether the sum is compiled on this machine; ``STARNET_FUSED=0`` turns that off."""
    return os.environ.get("STARNET_FUSED") != "0" and _library() is not None


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = compiled(SOURCE, *OPTIMISE)
    except CannotCompileError as error:
        log.warning("The compiled sum of lines is off: %s; synthesis is slower.", error)
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    head = [number] * 4 + [pointer] * 6 + [number]
    library.starnet_lines_setup.argtypes = [pointer, ctypes.c_float]
    library.starnet_lines_forward.argtypes = [*head, pointer, ctypes.c_int]
    library.starnet_lines_backward.argtypes = [*head, *[pointer] * 5, ctypes.c_int]
    library.starnet_lines_tangent.argtypes = [*head, *[pointer] * 5, ctypes.c_int]
    series, scale = weideman()
    values = series.astype(np.float32)
    library.starnet_lines_setup(values.ctypes.data, float(scale))
    return library


class _Compiled:
    @staticmethod
    def _call(name: str, tensors: Any, fixed: Any, *more: Tensor) -> None:
        cell, level, reach, n_pixels = fixed
        kept = [t.detach().contiguous() for t in (*tensors, cell, level)]
        rows, lines = kept[0].shape
        getattr(_library(), f"starnet_lines_{name}")(
            *(rows, lines, n_pixels, level.shape[1]),
            *(t.data_ptr() for t in kept),
            reach,
            *(t.data_ptr() for t in more),
            torch.get_num_threads(),
        )

    @classmethod
    def forward(cls, tensors: Any, fixed: Any) -> Tensor:
        out = tensors[0].new_zeros(tensors[0].shape[0], fixed[3])
        cls._call("forward", tensors, fixed, out)
        return out

    @classmethod
    def backward(cls, tensors: Any, fixed: Any, grad: Tensor) -> tuple[Tensor, ...]:
        out = [torch.zeros_like(tensors[0]) for _ in range(4)]
        cls._call("backward", tensors, fixed, grad.contiguous(), *out)
        return (*out[:3], out[3].sum(dim=0).to(tensors[3].dtype))

    @classmethod
    def tangent(cls, tensors: Any, fixed: Any, given: list[Tensor]) -> Tensor:
        out = tensors[0].new_zeros(tensors[0].shape[0], fixed[3])
        directions = [t.to(torch.float32).contiguous() for t in given]
        cls._call("tangent", tensors, fixed, *directions, out)
        return out


# ------------------------------------------------------------------ torch


class _Windows:
    @classmethod
    def forward(cls, tensors: Any, fixed: Any) -> Tensor:
        out = tensors[0].new_zeros(tensors[0].shape[0], fixed[3])
        for rows, pixels, inside, a, v in _windows(tensors, fixed):
            values = tensors[0][:, rows, None] * voigt(a, v)[0] * inside
            out.index_add_(1, pixels.reshape(-1), values.reshape(out.shape[0], -1))
        return out

    @classmethod
    def backward(cls, tensors: Any, fixed: Any, grad: Tensor) -> tuple[Tensor, ...]:
        amplitude, _, width, centre = tensors
        out = [torch.zeros_like(amplitude) for _ in range(4)]
        for rows, pixels, inside, a, v in _windows(tensors, fixed):
            g = grad[:, pixels.reshape(-1)].reshape(v.shape) * inside
            h, by_a, by_v = voigt_slopes(a, v)
            scale = amplitude[:, rows]
            out[0][:, rows] = (g * h).sum(-1)
            out[1][:, rows] = (g * by_a).sum(-1) * scale
            out[2][:, rows] = -(g * by_v * v).sum(-1) * scale / width[:, rows]
            out[3][:, rows] = -(g * by_v).sum(-1) * scale / width[:, rows]
        return (*out[:3], out[3].sum(dim=0).to(centre.dtype))

    @classmethod
    def tangent(cls, tensors: Any, fixed: Any, given: list[Tensor]) -> Tensor:
        amplitude, _, width, _ = tensors
        out = amplitude.new_zeros(amplitude.shape[0], fixed[3])
        t_amp, t_a, t_width, t_centre = (t.to(amplitude.dtype) for t in given)
        for rows, pixels, inside, a, v in _windows(tensors, fixed):
            h, by_a, by_v = voigt_slopes(a, v)
            move = v * t_width[:, rows, None] + t_centre[rows, None]
            slope = -by_v * move / width[:, rows, None]
            values = t_amp[:, rows, None] * h
            values = values + amplitude[:, rows, None] * (by_a * t_a[:, rows, None] + slope)
            out.index_add_(1, pixels.reshape(-1), (values * inside).reshape(out.shape[0], -1))
        return out


def _windows(tensors: Any, fixed: Any) -> Iterator[tuple[Tensor, ...]]:
    """Lines, their pixels (n, W), where they count (R, n, W), damping (R, n, 1) and offsets."""
    amplitude, damping, width, centre = tensors
    cell, level, reach, n_pixels = fixed
    ratio = amplitude / level[:, cell.long()]
    core = torch.sqrt(torch.log(ratio.clamp(min=1.0))) + 0.5
    cut = torch.maximum(core, torch.sqrt(ratio * damping * INV_SQRT_PI)) * width
    cut = torch.where(ratio > 1, cut.clamp(max=float(reach)), torch.full_like(cut, -1.0))
    largest = cut.amax(dim=0)
    order = torch.nonzero(largest >= 0)[:, 0]
    sizes = torch.ceil(torch.log2(largest[order].clamp(min=4.0)) * 2) / 2
    for size in torch.unique(sizes).tolist():
        half = min(math.ceil(2**size) + 1, reach)
        some = order[sizes == size]
        offsets = torch.arange(-half, half + 1, device=centre.device)
        step = max(1, LARGEST // (amplitude.shape[0] * offsets.numel()))
        for rows in some.split(step):
            base = torch.floor(centre[rows])
            pixels = base.long()[:, None] + offsets  # (n, W)
            distance = (offsets - (centre[rows] - base)[:, None]).to(amplitude.dtype)
            here = (pixels >= 0) & (pixels < n_pixels)
            inside = here & (distance.abs() <= cut[:, rows, None])
            v = distance / width[:, rows, None]
            yield rows, pixels.clamp(0, n_pixels - 1), inside, damping[:, rows, None], v
