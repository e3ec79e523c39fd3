"""Compiles one C file at first use, keeps the library, and loads it.

The result lies in the user's cache folder (``$XDG_CACHE_HOME/starnet``, else ``~/.cache/starnet``)
under a name made from the source, the flags, the compiler and the processor, so that a home
folder shared by different machines never serves code for the wrong one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

# Tried in turn: compilers without OpenMP give one thread, others spell -march=native -mcpu=native.
FLAGS = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)


class CannotCompileError(Exception):
    """There is no compiled library; the message says why, in half a sentence."""


def compiled(source: Path, *options: str) -> ctypes.CDLL:
    """The library of a C file.

    Parameters
    ----------
    source : Path
    options : str
        Optimisation and macros for the compiler.

    Raises
    ------
    CannotCompileError
        If there is no compiler, or it cannot build the file.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        raise CannotCompileError("no C compiler was found (cc, or the one named by $CC)")
    reason = ""
    for flags in FLAGS:
        command = [*compiler, *options, *flags, "-shared", "-fPIC", str(source), "-lm"]
        try:
            return ctypes.CDLL(str(_built(source, command)))
        except (OSError, subprocess.SubprocessError) as error:
            reason = _last_line(error)
    raise CannotCompileError(f"the C compiler {compiler[0]!r} could not build it ({reason})")


def _built(source: Path, command: list[str]) -> Path:
    """Path of the library that ``command`` makes, compiling it unless it is kept already."""
    digest = hashlib.sha256()
    words = [word for word in command if word != str(source)]
    for part in (source.read_bytes(), "\0".join(words).encode(), _processor(command[0])):
        digest.update(hashlib.sha256(part).digest())
    name = f"{source.stem.strip('_')}-{digest.hexdigest()[:32]}.so"
    for folder in _folders():
        path = folder / name
        try:
            if path.exists():
                return path
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=folder) as work:
                made = Path(work) / name
                _run([*command, "-o", str(made)])
                made.replace(path)  # atomic: another process may be doing the same
            return path
        except OSError:
            continue  # a home folder that cannot be written; the next one can
    raise OSError("no folder to keep the library in can be written")


def _run(command: list[str]) -> None:
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


def _last_line(error: Exception) -> str:
    text = (getattr(error, "stderr", None) or str(error)).strip()
    return text.splitlines()[-1] if text else type(error).__name__
