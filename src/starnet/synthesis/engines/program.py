"""Programs of others: found on the user's machine, run in a folder of their own, and checked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from starnet.errors import ConfigError, EngineError, MissingDependencyError
from starnet.synthesis.contract import Array

PathLike = str | os.PathLike[str]
TAIL = 12
"""Lines of a log that an error shows."""


@dataclass(frozen=True)
class Home:
    """Where an engine may live on a machine.

    Attributes
    ----------
    title : str
        Name of the engine for messages.
    variable : str
        The environment variable that names its folder or its executable.
    executables : tuple of str
        Names to look for on the PATH.
    remedy : str
        How to get it: a sentence for the error.
    """

    title: str
    variable: str
    executables: tuple[str, ...]
    remedy: str

    def find(self, given: PathLike | None, patterns: Iterable[str] = ("{name}",)) -> Path:
        """Path of the executable.

        Parameters
        ----------
        given : path, optional
            A setting; it goes before the environment variable, which goes before the PATH.
        patterns : sequence of str
            Where in a folder to look, as globs with ``{name}`` for the name.

        Raises
        ------
        MissingDependencyError
            If it is nowhere, or the setting or the variable leads nowhere.
        """
        named = given or os.environ.get(self.variable)
        if not named:
            for name in self.executables:
                if found := shutil.which(name):
                    return Path(found)
            raise self._missing(f"nothing named {' or '.join(self.executables)} is on the PATH")
        place = Path(named).expanduser()
        if place.is_file():
            return self._runnable(place)
        for name in self.executables:
            for pattern in patterns:
                for found in sorted(place.glob(pattern.format(name=name))):
                    if found.is_file():
                        return self._runnable(found)
        raise self._missing(f"{place} holds no {' or '.join(self.executables)}")

    def _runnable(self, path: Path) -> Path:
        if not os.access(path, os.X_OK):
            raise self._missing(f"{path} may not be executed (chmod +x makes it so)")
        return path.resolve()

    def _missing(self, what: str) -> MissingDependencyError:
        return MissingDependencyError(
            f"{self.title} was not found: {what}. {self.remedy} Then set {self.variable}, or give "
            "its place as a setting of the engine."
        )


@contextmanager
def workshop(keep: PathLike | None, title: str) -> Iterator[Path]:
    """A temporary folder to run in, which goes at the end; or one below ``keep``, which stays.

    Raises
    ------
    ConfigError
        If no folder can be made there.
    """
    prefix = f"starnet-{title.lower()}-"
    try:
        if keep is not None:
            Path(keep).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=keep))
    except OSError as error:
        raise ConfigError(
            f"A folder for {title} cannot be made in {keep or tempfile.gettempdir()}: "
            f"{error.strerror or error}; free some space or name another place."
        ) from error
    try:
        yield folder
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def run(
    command: Sequence[PathLike],
    folder: Path,
    *,
    title: str,
    timeout: float,
    stdin: str = "",
    threads: int = 1,
) -> str:
    """Run a program to its end in a folder, and give its output.

    Output goes to ``<program>.log`` in the folder. A program that takes too long is stopped with
    all that it started.

    Raises
    ------
    EngineError
        If it cannot be started, fails, or runs out of time; with the end of its log.
    """
    name = Path(command[0]).name
    log = folder / f"{name}.log"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "JULIA_NUM_THREADS": str(threads)}
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                [os.fspath(part) for part in command],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(
                f"{title}: {name} cannot be started: {error.strerror or error}; is it built for "
                "this machine?"
            ) from error
        code = _finish(process, stdin.encode(), timeout)
    if code is None:
        raise EngineError(
            f"{title}: {name} was stopped after {timeout:g} s; give it more with timeout=, or a "
            f"shorter wavelength range.{tail(log)}"
        )
    if code != 0:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise EngineError(f"{title}: {name} {how}.{tail(log)}")
    return log.read_text("utf-8", "replace")


def _finish(process: subprocess.Popen[bytes], stdin: bytes, timeout: float) -> int | None:
    """Return code; None where time ran out."""
    try:
        process.communicate(stdin, timeout=timeout)
        return process.returncode
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:  # also after Ctrl-C
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tail(log: Path, n: int = TAIL) -> str:
    """The last lines of a log, for the end of a message."""
    if not log.is_file():
        return ""
    lines = [line.rstrip() for line in log.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line][-n:]
    return "\nIts log ends:\n    " + "\n    ".join(lines) if lines else " Its log is empty."


def read_columns(path: Path, n: int, *, title: str, log: Path, least: int = 2) -> Array:
    """The first ``n`` columns of numbers of a text file that a program wrote, (n, rows).

    Raises
    ------
    EngineError
        If the file is absent, empty, not of numbers, or its first column does not rise.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file is an error below
            table = np.loadtxt(path, ndmin=2, usecols=range(n), encoding="latin-1")
    except FileNotFoundError:
        raise EngineError(f"{title} wrote no {path.name}.{tail(log)}") from None
    except (ValueError, IndexError) as error:
        raise EngineError(
            f"{title} wrote a {path.name} that does not hold {n} columns of numbers ({error})."
            f"{tail(log)}"
        ) from error
    if len(table) < least:
        raise EngineError(f"{title} wrote a {path.name} of {len(table)} rows.{tail(log)}")
    table = table[np.append(True, np.diff(table[:, 0]) > 0)]  # repeated wavelengths
    if not (np.isfinite(table).all() and np.all(np.diff(table[:, 0]) > 0)):
        raise EngineError(f"{title} wrote a {path.name} with numbers that are not finite or sorted")
    return table.T


def onto(wave: Array, have: Array, values: Array, *, title: str) -> Array:
    """Values on other wavelengths by a cubic spline; both in vacuum Angstrom.

    Raises
    ------
    EngineError
        If the wavelengths that the program gave do not reach.
    """
    from scipy.interpolate import CubicSpline

    if have[0] > wave[0] or have[-1] < wave[-1]:
        raise EngineError(
            f"{title} gave {have[0]:.2f} to {have[-1]:.2f} A, and {wave[0]:.2f} to {wave[-1]:.2f} "
            "was asked for."
        )
    return CubicSpline(have, values)(wave)
