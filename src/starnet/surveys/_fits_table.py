"""Binary tables of FITS files (FITS Standard 4.0, section 7.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ReadError
from starnet.surveys._fits_header import Header

TABLE_TYPES = {
    "L": "S1",
    "B": "u1",
    "I": ">i2",
    "J": ">i4",
    "K": ">i8",
    "E": ">f4",
    "D": ">f8",
    "C": ">c8",
    "M": ">c16",
    "P": ">2i4",
    "Q": ">2i8",
}


class FitsTable:
    """Columns of a binary table; names are in lower case."""

    def __init__(self, header: Header, rows: NDArray[Any], names: tuple[str, ...]) -> None:
        self._header = header
        self._rows = rows
        self.names = names

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, *names: str) -> NDArray[Any]:
        """The first of several columns that is there, in native byte order and scaled.

        Raises
        ------
        ReadError
            If none is there.
        """
        for name in names:
            if name in self.names:
                return self._column(self.names.index(name))
        raise ReadError(
            f"the table has no column {' or '.join(names)}; it has {', '.join(self.names[:40])}"
        )

    def same_in_every_row(self, name: str, *, rtol: float) -> bool:
        """Whether a column of vectors has one value, compared some rows at a time."""
        data = self._rows[f"c{self.names.index(name)}"]
        steps = range(0, len(data), 1024)
        return all(np.allclose(data[i : i + 1024], data[0], rtol=rtol, atol=0.0) for i in steps)

    def row(self, name: str, index: int) -> NDArray[Any]:
        """One row of a column, without reading the others."""
        return FitsTable(self._header, self._rows[index : index + 1], self.names).column(name)[0]

    def _column(self, index: int) -> NDArray[Any]:
        data = self._rows[f"c{index}"]
        if data.dtype.kind == "S":
            return np.char.strip(np.char.decode(data, "ascii", "replace"))
        scale = self._header.get(f"TSCAL{index + 1}", 1)
        return scaled(data, scale, self._header.get(f"TZERO{index + 1}", 0))


def scaled(data: NDArray[Any], scale: float, zero: float) -> NDArray[Any]:
    """``data * scale + zero`` in native byte order; whole numbers stay whole (TZERO, BZERO)."""
    if (scale, zero) == (1, 0):
        return data.astype(data.dtype.newbyteorder("="))
    if data.dtype.kind in "iu" and scale == 1 and float(zero).is_integer() and abs(zero) < 2**62:
        return data.astype(np.int64) + int(zero)
    return data.astype(np.float64) * scale + zero


def row_type(header: Header) -> np.dtype[Any]:
    fields: list[tuple[Any, ...]] = []
    for i in range(header.integer("TFIELDS")):
        form = header.text(f"TFORM{i + 1}")
        digits = form[: len(form) - len(form.lstrip("0123456789"))]
        letter, repeat = form[len(digits) : len(digits) + 1], int(digits or 1)
        if letter == "A":
            fields.append((f"c{i}", f"S{repeat}"))
        elif letter == "X":
            fields.append((f"c{i}", "u1", (-(-repeat // 8),)))
        elif letter in TABLE_TYPES:
            fields.append((f"c{i}", TABLE_TYPES[letter], () if repeat == 1 else (repeat,)))
        else:
            raise ReadError(f"column {i + 1} has the unknown format {form!r}")
    return np.dtype(fields)
