"""What StarNet can read: the registry of surveys, and the reading of one file or of many."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from starnet.errors import ConfigError, DataError, ReadError, StarNetError
from starnet.spectra import Spectra
from starnet.surveys._fits import FitsFile
from starnet.surveys._options import PathLike, ReadOptions
from starnet.surveys.bits import PixelBits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A file that is being looked at: its path, its FITS structure if it has one, its beginning."""

    path: Path
    file: FitsFile
    is_fits: bool

    @property
    def fits(self) -> FitsFile:
        """The FITS structure; `ReadError` for other files."""
        if not self.is_fits:
            raise ReadError("it is no FITS file")
        return self.file

    @property
    def beginning(self) -> bytes:
        """The first bytes."""
        return self.file.beginning()


@dataclass(frozen=True)
class Survey:
    """One kind of spectrum file.

    ``identify`` shall look at headers only and say whether a file is of this kind. ``read`` shall
    return every spectrum of the file on the file's own grid, with medium and frame as the survey
    documents them, bad pixels masked and metadata filled, or raise `ReadError`.

    Parameters
    ----------
    name : str
        Key in `SURVEYS`.
    title : str
        What it is called in messages.
    identify, read : callable
        As above; each takes the `Opened` file, ``read`` the options too.
    source : str
        The document that describes the format.
    bits : PixelBits, optional
        Its bit mask.
    """

    name: str
    title: str
    identify: Callable[[Opened], bool]
    read: Callable[[Opened, ReadOptions], Spectra]
    source: str
    bits: PixelBits | None = None

    def __repr__(self) -> str:
        return f"Survey({self.name}: {self.title})"


SURVEYS: dict[str, Survey] = {}
"""Every kind of file that is recognised, by name, in the order in which they are tried."""

FALLBACK: list[Survey] = []
"""The one that is tried for files of no kind, when the user gives medium and frame."""


def register(survey: Survey, *, fallback: bool = False) -> Survey:
    """Add a kind of file. Names are unique; the first kind that identifies a file reads it."""
    if survey.name in SURVEYS:
        raise ConfigError(f"There is a survey {survey.name!r} already; choose another name.")
    SURVEYS[survey.name] = survey
    if fallback:
        FALLBACK.append(survey)
    return survey


def identify(path: PathLike) -> Survey | None:
    """Which survey's file it is, from headers alone; None if of none, rubbish or absent."""
    try:
        with _opened(Path(path), peek=True) as source:
            return _identified(source)
    except (OSError, StarNetError):
        return None


def read_file(
    path: PathLike, survey: str | Survey | None = None, options: ReadOptions | None = None
) -> Spectra:
    """Every spectrum of one file.

    Parameters
    ----------
    path : path
    survey : str or Survey, optional
        A key of `SURVEYS`; by default the file tells.
    options : ReadOptions, optional

    Returns
    -------
    Spectra
        One row or several, on the file's own grid. ``meta`` has ``id``, ``star``, ``file``,
        ``snr``, ``rv``, ``ra``, ``dec``, ``survey`` and ``kind``. ``rv`` is the velocity (km/s)
        that takes an observed spectrum to rest, or the one that was taken out.

    Raises
    ------
    ReadError
        If the file is absent, truncated, empty, of no kind, or not what its kind should be. The
        message names the file.
    ConfigError
        If the survey or a mask bit is unknown.
    """
    where, options = Path(path), options or ReadOptions()
    given = None if survey is None else _survey(survey)
    try:
        with _opened(where) as source:
            kind = given or _identified(source) or _fallback(source, options)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # damaged numbers
                return kind.read(source, options)
    except ConfigError:
        raise
    except FileNotFoundError as error:
        raise ReadError(f"{where}: there is no such file; check the path.") from error
    except DataError as error:
        raise ReadError(f"{where}: not read, because {_sentence(error)}") from error
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ReadError(
            f"{where}: not read; its contents are not what its format demands ({text}). It may be "
            "damaged: fetch it anew."
        ) from error


def read_many(
    paths: Iterable[PathLike],
    options: ReadOptions | None = None,
    *,
    survey: str | Survey | None = None,
    on_error: Callable[[Path, ReadError], None] | None = None,
) -> Iterator[Spectra]:
    """The spectra of many files, one file after the other; bad files do not stop the rest.

    Parameters
    ----------
    paths : iterable of paths
        As `find` gives them.
    options, survey
        As for `read_file`.
    on_error : callable, optional
        Called with the path and the error of each bad file. By default it is logged as a warning.
    """
    for path in paths:
        try:
            spectra = read_file(path, survey, options)
        except ReadError as error:
            if on_error is None:
                log.warning("%s", error)
            else:
                on_error(Path(path), error)
            continue
        yield spectra


def readable() -> str:
    """What StarNet can read, for messages."""
    return ", ".join(kind.title for kind in SURVEYS.values())


@contextmanager
def _opened(path: Path, *, peek: bool = False) -> Iterator[Opened]:
    with FitsFile(path, peek=peek) as file:
        yield Opened(path, file, file.beginning().startswith(b"SIMPLE  ="))


def _identified(source: Opened) -> Survey | None:
    for survey in SURVEYS.values():
        try:
            if survey.identify(source):
                return survey
        except (ReadError, ValueError, LookupError, TypeError, ArithmeticError):
            continue  # rubbish in a header is no survey's
    return None


def _survey(name: str | Survey) -> Survey:
    if isinstance(name, Survey):
        return name
    if name not in SURVEYS:
        raise ConfigError(f"There is no survey {name!r}; there are {', '.join(SURVEYS)}.")
    return SURVEYS[name]


def _fallback(source: Opened, options: ReadOptions) -> Survey:
    """The reader for files of no kind, or an error that says what was found."""
    found = _found(source)
    if source.file.size == 0:
        raise ReadError("it is empty; fetch it anew.")
    if source.is_fits:
        source.fits.check_complete()
    if FALLBACK and options.medium and options.frame:
        return FALLBACK[0]
    raise ReadError(
        f"it is of no kind that is known ({found}). StarNet reads {readable()}. If specutils reads "
        'it, say what its wavelengths are: medium="vacuum" or "air" and frame="rest" or "observed".'
    )


def _found(source: Opened) -> str:
    if not source.is_fits:
        return f"no FITS; it starts with {source.beginning[:40]!r}"
    parts = []
    for index in range(4):
        hdu = source.fits.get(index)
        if hdu is None:
            break
        columns = f" of columns {', '.join(hdu.columns[:8])}" if hdu.is_table else ""
        shape = "x".join(str(n) for n in hdu.shape) or "no data"
        parts.append(f"HDU {index}: {shape}{columns}")
    return "FITS with " + "; ".join(parts) if parts else "a FITS file without a whole header"


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith((".", "!", "?")) else f"{text}."
