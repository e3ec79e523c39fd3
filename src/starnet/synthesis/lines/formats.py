"""Which formats of line lists can be read, and the reading of a file or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from starnet.errors import ConfigError, FrameError, ReadError, StarNetError
from starnet.synthesis.lines import galah, kurucz, moog, pfant, turbospectrum, vald
from starnet.synthesis.lines._rows import Medium, Raw, assemble
from starnet.synthesis.lines.isotopes import TERRESTRIAL, Fractions
from starnet.synthesis.lines.linelist import LineList

PathLike = str | os.PathLike[str]
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class LineFormat:
    """A format of line lists.

    ``identify`` shall look at the first lines of a text only and say whether the file is of this
    format; it is None for the binary one. ``read`` shall return every line of the file as the file
    gives it, or raise `ReadError` with the number of the line that cannot be read. ``medium`` is
    what wavelengths are measured in by convention, None where each file says it.
    """

    name: str
    title: str
    medium: Medium | None
    identify: Callable[[list[str]], bool] | None
    read: Callable[[Path], Raw]


FORMATS: dict[str, LineFormat] = {
    form.name: form
    for form in (
        LineFormat(
            "turbospectrum", "Turbospectrum", "air", turbospectrum.identify, turbospectrum.read
        ),
        LineFormat("vald", "VALD, short or long", None, vald.identify, vald.read),
        LineFormat("pfant", "PFANT atoms", "air", pfant.identify, pfant.read),
        LineFormat("kurucz", "Kurucz gfall", "air", kurucz.identify, kurucz.read),
        LineFormat("moog", "MOOG, linemake", "air", moog.identify, moog.read),
        LineFormat("galah", "GALAH DR3 in HDF5", None, None, galah.read),
    )
}
"""The formats by name, in the order in which a file is tried."""


def identify_format(path: PathLike) -> str | None:
    """Name of the format of a file in `FORMATS`; None for a foreign file.

    Raises
    ------
    ReadError
        If the file is absent or cannot be opened.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(8192)
    except OSError as error:
        raise ReadError(f"{path} must be a readable file: {error}") from error
    if head.startswith(_HDF5):
        return "galah"
    texts = [line.rstrip("\r") for line in head.decode("latin-1").split("\n")]
    texts = texts[:20] if len(texts) == 1 or len(head) < 8192 else texts[:-1][:20]
    return next((f.name for f in FORMATS.values() if f.identify and f.identify(texts)), None)


def read_lines(
    path: PathLike,
    *,
    format: str | None = None,
    medium: Medium | None = None,
    isotopes: Fractions | None = TERRESTRIAL,
) -> LineList:
    """Read a line list of any known format; wavelengths come out in vacuum, in order.

    Parameters
    ----------
    path : path
        The file.
    format : str, optional
        A name in `FORMATS`. Default: what the file looks like.
    medium : "vacuum" or "air", optional
        What the file's wavelengths are measured in, where it differs from the convention of the
        format. A file that says it must agree.
    isotopes : mapping or None
        Isotope fractions to multiply in. None: log gf as the file has it.

    Raises
    ------
    ReadError
        If the file is absent, foreign, empty, cut off, or a line cannot be read (by number).
    DataError
        If a number of a line is not plausible.
    FrameError
        If ``medium`` contradicts the file.
    ConfigError
        For an unknown format or medium.
    """
    file = Path(path)
    if format is not None and format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}; received {format!r}.")
    if medium not in (None, "vacuum", "air"):
        raise ConfigError(f'medium must be "vacuum" or "air"; received {medium!r}.')
    looks = identify_format(file)
    name = format or looks
    if name is None:
        raise ReadError(
            f"{file} must be a line list of a known format ({', '.join(FORMATS)}); it looks like "
            "none of them, or is empty."
        )
    raw = FORMATS[name].read(file)
    if raw.medium is not None and medium not in (None, raw.medium):
        raise FrameError(
            f"{file} gives wavelengths in {raw.medium}; received medium={medium!r}. Leave medium "
            "out."
        )
    chosen = medium or raw.medium or FORMATS[name].medium
    if chosen is None:
        raise FrameError(f"{file} must say whether it is in air or vacuum; give medium.")
    return assemble(raw, file, chosen, isotopes)


def scan(folder: PathLike) -> Table:
    """What line lists a folder and its subfolders hold.

    Returns
    -------
    astropy.table.Table
        One row per file: ``file`` (relative to the folder), ``format``, ``species`` (names, the
        most frequent first; at most six are named), ``start`` and ``stop`` (vacuum Angstrom, NaN
        where not read), ``n_lines``, ``problem`` (why a file of a known format could not be read).
        Foreign files are left out.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"scan needs a folder; received {folder}, which is none.")
    names = ("file", "format", "species", "start", "stop", "n_lines", "problem")
    kinds = (str, str, str, float, float, int, str)
    found = [_entry(root, path) for path in sorted(root.rglob("*")) if path.is_file()]
    rows = [row for row in found if row is not None]
    return Table(rows=rows or None, names=names, dtype=kinds)


def _entry(root: Path, path: Path) -> tuple[str, str, str, float, float, int, str] | None:
    nan, file, name = float("nan"), str(path.relative_to(root)), ""
    try:
        name = identify_format(path) or ""
        if not name:
            return None
        lines = read_lines(path, format=name)
    except StarNetError as error:
        return (file, name, "", nan, nan, 0, str(error))
    counts = list(lines.counts())
    species = ", ".join(counts[:6]) + (f" and {len(counts) - 6} more" if len(counts) > 6 else "")
    start, stop = float(lines.wavelength[0]), float(lines.wavelength[-1])
    return (file, name, species, start, stop, len(lines), "")
