"""A small FITS reader for spectra: headers, images and binary tables, read where they lie.

The general reader of astropy spends some ten milliseconds on the headers of an apStar file of
which four arrays of one row are wanted. Here a header card is decoded when it is asked for, an
image gives the rows that are asked for, and a file that ends too early says so. Format: FITS
Standard 4.0 (https://fits.gsfc.nasa.gov/fits_standard.html), sections 3, 4 and 7.3.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.surveys._fits_header import Header
from starnet.surveys._fits_table import FitsTable, row_type, scaled

BLOCK = 2880
FIRST = 24 * BLOCK  # read at once: the headers that tell what a file is
LONGEST = 4000 * BLOCK  # no header is longer; rubbish without an END card might seem to be
MAPPED = 64 * 1024 * 1024  # tables larger than this are mapped into memory, not read
IMAGE_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True)
class Hdu:
    """A header, where its data lie in the file, and their shape, slowest axis first."""

    header: Header
    start: int
    size: int
    shape: tuple[int, ...]

    @property
    def is_table(self) -> bool:
        """Whether it is a binary table."""
        return self.header.text("XTENSION") == "BINTABLE"

    @property
    def is_image(self) -> bool:
        """Whether it is an image, the primary one included."""
        return self.header.text("XTENSION") in ("", "IMAGE")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of a table's columns in lower case."""
        head = self.header
        n = head.integer("TFIELDS") if self.is_table else 0
        return tuple(head.text(f"TTYPE{i}").lower() for i in range(1, n + 1))

    @property
    def end(self) -> int:
        """Where the next header starts."""
        return self.start + -(-self.size // BLOCK) * BLOCK


class FitsFile:
    """A FITS file, plain or gzipped. Headers are read one after the other, as far as needed.

    Parameters
    ----------
    path : Path
    peek : bool
        Read the beginning of a gzipped file only, which is enough to tell what it is.

    Raises
    ------
    ReadError
        If it is no FITS file or, sooner or later, if it ends too early. Messages do not name the
        file: the caller does.
    """

    def __init__(self, path: Path, *, peek: bool = False) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._hdus: list[Hdu] = []
        try:
            self._first = self._file.read(FIRST)
            self.size = os.fstat(self._file.fileno()).st_size
            self.gzipped = self._first[:2] == b"\x1f\x8b"
            if self.gzipped:
                self._first = self._unzip(peek)
                self.size = len(self._first)
        except BaseException:
            self.close()
            raise

    def _unzip(self, peek: bool) -> bytes:
        try:
            if peek:
                return zlib.decompressobj(wbits=31).decompress(self._first, FIRST)
            return gzip.decompress(self._path.read_bytes())
        except (EOFError, zlib.error, OSError) as error:
            raise ReadError(f"its gzip stream is damaged or truncated ({error})") from error

    def close(self) -> None:
        """Close the file; again is harmless."""
        self._file.close()

    def __enter__(self) -> FitsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def beginning(self) -> bytes:
        """The first bytes, to tell what a file is that is no FITS file."""
        return self._first[:BLOCK]

    def hdu(self, index: int) -> Hdu:
        """One header and the place of its data."""
        while len(self._hdus) <= index:
            where = self._hdus[-1].end if self._hdus else 0
            if self._hdus and where >= self.size:
                raise ReadError(f"it has {len(self._hdus)} HDUs and HDU {index} is needed")
            self._hdus.append(self._scan(where))
        return self._hdus[index]

    def get(self, index: int) -> Hdu | None:
        """One HDU, or None if the file has fewer."""
        try:
            return self.hdu(index)
        except ReadError:
            return None

    def header(self, index: int = 0) -> Header:
        """One header."""
        return self.hdu(index).header

    def check_complete(self) -> None:
        """Raise `ReadError` if the last HDU, filled up to a whole block, goes beyond the file."""
        index = 0
        while index == 0 or self.hdu(index - 1).end < self.size:
            hdu = self.hdu(index)
            self._require(hdu.start, hdu.end - hdu.start, f"HDU {index}")
            index += 1

    def image(self, index: int, rows: slice | None = None) -> NDArray[Any]:
        """Data of an image HDU, or some of its rows, in native byte order and scaled.

        Rows that are asked for give an array of two axes whatever the file's.
        """
        hdu = self.hdu(index)
        shape, head = hdu.shape, hdu.header
        if not hdu.is_image or not shape:
            raise ReadError(f"HDU {index} is needed as an image and holds none")
        dtype = np.dtype(IMAGE_TYPES[head.integer("BITPIX")])
        start, size = hdu.start, hdu.size
        if rows is not None:
            shape = (math.prod(shape[:-1]), shape[-1])
            first, stop, _ = rows.indices(shape[0])
            width = shape[1] * dtype.itemsize
            start, size, shape = start + first * width, (stop - first) * width, (stop - first, -1)
        data = np.frombuffer(self._read(start, size, f"HDU {index}"), dtype)
        return scaled(data, head.get("BSCALE", 1), head.get("BZERO", 0)).reshape(shape)

    def table(self, index: int) -> FitsTable:
        """A binary table."""
        hdu = self.hdu(index)
        if not hdu.is_table:
            raise ReadError(f"HDU {index} is needed as a binary table and is none")
        dtype = row_type(hdu.header)
        width, n_rows = hdu.header.integer("NAXIS1"), hdu.header.integer("NAXIS2")
        if dtype.itemsize != width:
            raise ReadError(f"the columns of HDU {index} make {dtype.itemsize} bytes, not {width}")
        if width * n_rows > MAPPED and not self.gzipped:
            self._require(hdu.start, hdu.size, f"HDU {index}")
            rows = np.memmap(self._path, dtype, "r", hdu.start, (n_rows,))
        else:
            rows = np.frombuffer(self._read(hdu.start, width * n_rows, f"HDU {index}"), dtype)
        return FitsTable(hdu.header, rows, hdu.columns)

    def _scan(self, where: int) -> Hdu:
        raw, end = b"", -1
        while end < 0:
            chunk = self._bytes(where + len(raw), 4 * BLOCK)
            if not chunk or len(raw) > LONGEST:
                raise ReadError(
                    f"it ends inside the header of HDU {len(self._hdus)} (at byte {self.size})"
                )
            _check_start(chunk, raw, len(self._hdus))
            raw += chunk
            end = _end_card(raw, len(raw) - len(chunk))
        header = Header(raw[:end])
        size, shape = _data_size(header)
        return Hdu(header, where + -(-(end + 80) // BLOCK) * BLOCK, size, shape)

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size <= len(self._first) or self.gzipped:
            return self._first[start : start + size]
        self._file.seek(start)
        return self._file.read(size)

    def _read(self, start: int, size: int, what: str) -> bytes:
        self._require(start, size, what)
        return self._bytes(start, size)

    def _require(self, start: int, size: int, what: str) -> None:
        if start + size > self.size:
            raise ReadError(
                f"it is truncated: {what} needs {start + size} bytes and the file has {self.size}"
            )


def _check_start(chunk: bytes, before: bytes, index: int) -> None:
    expected = b"SIMPLE  =" if index == 0 else b"XTENSION="
    if not before and not chunk.startswith(expected):
        what = "it is no FITS file" if index == 0 else f"HDU {index} does not start with XTENSION"
        raise ReadError(what)


def _end_card(raw: bytes, start: int) -> int:
    """Where the END card stands, looking at cards from ``start`` on, or -1."""
    at = raw.find(b"END     ", start)
    while at >= 0 and at % 80:
        at = raw.find(b"END     ", at + 1)
    return at


def _data_size(header: Header) -> tuple[int, tuple[int, ...]]:
    axes = tuple(header.integer(f"NAXIS{i}", -1) for i in range(header.integer("NAXIS"), 0, -1))
    bits = header.integer("BITPIX")
    if bits not in IMAGE_TYPES or any(n < 0 for n in axes):
        raise ReadError(f"a header has BITPIX {bits} and axes {axes}, which no FITS file has")
    if not axes:
        return 0, axes
    cells = math.prod(axes) + header.integer("PCOUNT")
    return abs(bits) // 8 * header.integer("GCOUNT", 1) * cells, axes
