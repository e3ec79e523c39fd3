"""Compiles ``_conv_block.c`` for one shape at first use (see `starnet._compile`)."""

from __future__ import annotations

import ctypes
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from starnet._compile import CannotCompileError, compiled

log = logging.getLogger("starnet.models")

SOURCE = Path(__file__).with_name("_conv_block.c")
# gcc 12 combines overlapping loads of vectors wrongly (-O3, pool 1, 5 filters); see also _fused.
OPTIMISE = ("-O3", "-fno-predictive-commoning")
MAX_POOL = 32  # the place of a maximum shares a byte with the mark of a dead one
MAX_KERNEL = 32  # scratch arrays carry enough spare room for kernels up to this length
MAX_FILTERS = 256


@dataclass(frozen=True)
class BlockShape:
    """What the compiled block is specialised for.

    Attributes
    ----------
    channels, filters1, filters2, kernel, pool : int
        Input channels, filters of the two layers, kernel length, pooling length.
    pad_left, pad_right : int
        Zeros added on each side before each layer.
    """

    channels: int
    filters1: int
    filters2: int
    kernel: int
    pool: int
    pad_left: int = 0
    pad_right: int = 0

    def pooled(self, n_pixels: int) -> int:
        """Positions left after both convolutions and pooling."""
        return (n_pixels + 2 * (self.pad_left + self.pad_right - self.kernel + 1)) // self.pool

    def fits(self) -> bool:
        """Whether the C source covers this shape."""
        return (
            self.pool <= MAX_POOL
            and self.kernel <= MAX_KERNEL
            and max(self.channels, self.filters1, self.filters2) <= MAX_FILTERS
            and self.kernel * self.channels * self.filters1 <= 65536
            and self.kernel * self.filters1 * self.filters2 * self.pool <= 1 << 20
        )

    def macros(self) -> tuple[str, ...]:
        """The shape as compiler arguments."""
        values = {
            "CIN": self.channels,
            "F1": self.filters1,
            "F2": self.filters2,
            "K": self.kernel,
            "POOL": self.pool,
            "PADL": self.pad_left,
            "PADR": self.pad_right,
        }
        return tuple(f"-D{name}={value}" for name, value in values.items())


@functools.cache
def load(shape: BlockShape) -> ctypes.CDLL | None:
    """The compiled block, or None (and one logged sentence) where it cannot be had."""
    try:
        return _declare(compiled(SOURCE, *OPTIMISE, *shape.macros()))
    except CannotCompileError as error:
        say_once(str(error))
        return None


@functools.cache
def say_once(why: str) -> None:
    """Logs one sentence on why the compiled convolution is not used."""
    log.warning("StarNet's fast convolution is off: %s; results are the same, but slower.", why)


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.starnet_forward.argtypes = [pointer, ctypes.c_int64, number, *[pointer] * 6, number]
    library.starnet_backward.argtypes = [pointer, ctypes.c_int64, number, *[pointer] * 7, number]
    long = ctypes.c_int64
    product = [pointer, long, number, number, pointer, long, pointer, number]
    library.starnet_product.argtypes = product
    slopes = [pointer, long, number, *[pointer] * 5, number, number, pointer, number]
    library.starnet_slopes.argtypes = slopes
    return library
