"""Compiles ``_conv_block.c`` for one shape at first use, keeps it, and loads it.

The result lies in the user's cache folder (``$XDG_CACHE_HOME/starnet``, else ``~/.cache/starnet``)
under a name made from the source, the flags, the compiler and the processor, so that a home
folder shared by different machines never serves code for the wrong one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("starnet.models")

SOURCE = Path(__file__).with_name("_conv_block.c")
# Tried in turn: compilers without OpenMP give one thread, others spell -march=native -mcpu=native.
FLAGS = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
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
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        say_once("no C compiler was found (cc, or the one named by $CC)")
        return None
    reason = ""
    for flags in FLAGS:
        command = [*compiler, *OPTIMISE, *flags, *shape.macros(), "-shared", "-fPIC", str(SOURCE)]
        try:
            return _declare(ctypes.CDLL(str(_built(command))))
        except (OSError, subprocess.SubprocessError) as error:
            reason = _last_line(error)
    say_once(f"the C compiler {compiler[0]!r} could not build it ({reason})")
    return None


@functools.cache
def say_once(why: str) -> None:
    """Logs one sentence on why the compiled convolution is not used."""
    log.warning("StarNet's fast convolution is off: %s; results are the same, but slower.", why)


def _built(command: list[str]) -> Path:
    """Path of the library that ``command`` makes, compiling it unless it is kept already."""
    digest = hashlib.sha256()
    for part in (SOURCE.read_bytes(), "\0".join(command[:-1]).encode(), _processor(command[0])):
        digest.update(hashlib.sha256(part).digest())
    name = f"conv-{digest.hexdigest()[:32]}.so"
    for folder in _folders():
        path = folder / name
        try:
            if path.exists():
                return path
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=folder) as work:
                made = Path(work) / name
                _compile([*command, "-o", str(made)])
                made.replace(path)  # atomic: another process may be doing the same
            return path
        except OSError:
            continue  # a home folder that cannot be written; the next one can
    raise OSError("no folder to keep the library in can be written")


def _compile(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)


@functools.cache
def _own_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="starnet-"))


def _folders() -> list[Path]:
    base = os.environ.get("XDG_CACHE_HOME")
    home = Path(base) if base else Path.home() / ".cache"
    return [home / "starnet", _own_folder()]


@functools.cache
def _processor(compiler: str) -> bytes:
    """What -march=native depends on: the processor's features and the compiler."""
    path = shutil.which(compiler) or compiler
    facts = [platform.machine(), platform.processor(), os.path.realpath(path)]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(errors="replace").splitlines()
        facts += sorted({line for line in lines if line.startswith(("flags", "model", "Features"))})
    with contextlib.suppress(OSError):
        facts.append(str(os.stat(path).st_mtime_ns))
    return "\n".join(facts).encode()


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.starnet_forward.argtypes = [pointer, ctypes.c_int64, number, *[pointer] * 6, number]
    library.starnet_backward.argtypes = [pointer, ctypes.c_int64, number, *[pointer] * 7, number]
    return library


def _last_line(error: Exception) -> str:
    text = (getattr(error, "stderr", None) or str(error)).strip()
    return text.splitlines()[-1] if text else type(error).__name__
