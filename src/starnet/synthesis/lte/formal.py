"""From lines and smooth opacity to flux, pixel by pixel: the last step of a synthesis.

Without derivatives, on a CPU with a C compiler, it is compiled (``_transfer.c``); otherwise the
functions of `transfer` do it, chunk by chunk of pixels. Both give the same to rounding.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

from starnet._compile import CannotCompileError, compiled

from .linesum import OPTIMISE
from .transfer import emergent_flux

log = logging.getLogger("starnet.synthesis")
SOURCE = Path(__file__).with_name("_transfer.c")
CHUNK = 1 << 21
"""Elements (B, D, pixels) whose transfer is computed together: about what a cache holds."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """Linear interpolation from W nodes to P points, prepared once."""

    left: Tensor
    weight: Tensor

    @classmethod
    def between(cls, nodes: NDArray[Any], points: NDArray[Any], device: Any) -> Nodes:
        """From nodes (W,) to points (P,) within them."""
        i = np.clip(np.searchsorted(nodes, points, side="right") - 1, 0, len(nodes) - 2)
        weight = (points - nodes[i]) / (nodes[i + 1] - nodes[i])
        return cls(
            torch.as_tensor(i, device=device),
            torch.as_tensor(weight, dtype=torch.float64, device=device),
        )

    def __call__(self, values: Tensor, points: slice = slice(None)) -> Tensor:
        """(..., W) -> (..., P)."""
        left, weight = self.left[points], self.weight[points].to(values.dtype)
        low = values[..., left]
        return low + (values[..., left + 1] - low) * weight


@dataclass(frozen=True, eq=False)
class Smooth:
    """What varies slowly with wavelength: (B, D, W) each, on nodes.

    Attributes
    ----------
    opacity : tensor
        Continuum and hydrogen, per cm.
    thermal : tensor
        Planck function.
    excess : tensor
        Scattering times (J - B): divided by the whole opacity, what scattering adds to the source.
    """

    opacity: Tensor
    thermal: Tensor
    excess: Tensor

    def single(self) -> Smooth:
        """In single precision, contiguous."""
        parts = (self.opacity, self.thermal, self.excess)
        return Smooth(*(x.to(torch.float32).contiguous() for x in parts))


def flux(lines: Tensor, smooth: Smooth, nodes: Nodes, turn: Tensor, log_scale: Tensor) -> Tensor:
    """Emergent flux (B, P) float32.

    Parameters
    ----------
    lines : tensor (B, D, P), float32
        Opacity of lines, per cm.
    smooth : Smooth
    nodes : Nodes
        From the nodes of ``smooth`` to the pixels.
    turn : tensor (B, D)
        Turns opacity per cm into d tau / d ln of the depth scale.
    log_scale : tensor (B, D)
    """
    single = smooth.single()
    turn, log_scale = (x.to(torch.float32).contiguous() for x in (turn, log_scale))
    if _can_be_compiled(lines):
        return _compiled(lines.contiguous(), single, nodes, turn, log_scale)
    size = max(256, CHUNK // (lines.shape[0] * lines.shape[1]))
    parts = []
    for start in range(0, lines.shape[-1], size):
        pixels = slice(start, min(start + size, lines.shape[-1]))
        total = lines[..., pixels] + nodes(single.opacity, pixels)
        source = nodes(single.thermal, pixels) + nodes(single.excess, pixels) / total
        parts.append(emergent_flux(total * turn[..., None], source, log_scale))
    return torch.cat(parts, dim=-1)


def _can_be_compiled(lines: Tensor) -> bool:
    return (
        lines.device.type == "cpu"
        and not torch.is_grad_enabled()
        and forward_ad._current_level < 0
        and os.environ.get("STARNET_FUSED") != "0"
        and _library() is not None
    )


def _compiled(
    lines: Tensor, smooth: Smooth, nodes: Nodes, turn: Tensor, log_scale: Tensor
) -> Tensor:
    n_stars, n_depths, n_pixels = lines.shape
    out = lines.new_empty(n_stars, n_pixels)
    given = (
        *(lines, smooth.opacity, smooth.thermal, smooth.excess),
        *(nodes.left.to(torch.int32), nodes.weight.to(torch.float32), turn, log_scale, out),
    )
    library = _library()
    assert library is not None
    library.starnet_transfer(
        *(n_stars, n_depths, n_pixels, smooth.opacity.shape[-1]),
        *(x.data_ptr() for x in given),
        torch.get_num_threads(),
    )
    return out


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = compiled(SOURCE, *OPTIMISE)
    except CannotCompileError as error:
        log.info("The compiled transfer is off: %s.", error)  # `linesum` warns of it
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.starnet_transfer.argtypes = [number] * 4 + [pointer] * 9 + [ctypes.c_int]
    return library
