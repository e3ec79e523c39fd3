"""Quality cuts on a catalogue: named, composable, and able to say what each of them removes.

>>> keep = (snr_above(100) & teff_between(4000, 5500))(allstar)   # doctest: +SKIP
>>> print(APOGEE_2018.report(allstar))                            # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet.errors import LabelError

BoolArray = NDArray[Any]  # bool
ALIASES = {
    "snr": ("snr", "s2n", "sn_median_all", "snrg"),
    "fe_h": ("fe_h", "feh", "feh_adop"),
    "teff": ("teff", "teff_adop"),
    "logg": ("logg", "logg_adop"),
    "vscatter": ("vscatter",),
}
"""What surveys call a column; the first that a table has is taken, in upper or lower case."""
MISSING = -900.0
"""Numbers below this are the surveys' sign for "no value" (-999, -9999)."""


@dataclass(frozen=True)
class Cut:
    """A test of every row of a table.

    Call it on a table for a boolean array (N,), True where a star is kept. ``&``, ``|`` and ``~``
    make new cuts. Values that are missing (masked, NaN, -9999) never pass a comparison.

    Parameters
    ----------
    name : str
        Readable: ``SNR > 200``.
    test : callable
        Table to boolean array (N,).
    parts : tuple of Cut
        The cuts that this one joins with ``&``, for the report.
    """

    name: str
    test: Callable[[Table], BoolArray]
    parts: tuple[Cut, ...] = ()

    def __call__(self, table: Table) -> BoolArray:
        return np.asarray(self.test(table), dtype=bool)

    def __and__(self, other: Cut) -> Cut:
        parts = (*(self.parts or (self,)), *(other.parts or (other,)))
        name = " & ".join(part.name for part in parts)
        return Cut(name, lambda table: self(table) & other(table), parts)

    def __or__(self, other: Cut) -> Cut:
        return Cut(f"({self.name} | {other.name})", lambda table: self(table) | other(table))

    def __invert__(self) -> Cut:
        return Cut(f"not ({self.name})", lambda table: ~self(table))

    def __repr__(self) -> str:
        return f"Cut({self.name})"

    def report(self, table: Table) -> Table:
        """What each part removes, in order.

        Returns
        -------
        Table
            ``cut``; ``fails``, the rows that fail it whatever else they do; ``removes``, those
            that the cuts before had left and it takes away; ``left``, those that then remain.
        """
        left = np.ones(len(table), bool)
        rows = []
        for part in self.parts or (self,):
            kept = part(table)
            removed = int(np.count_nonzero(left & ~kept))
            left &= kept
            rows.append((part.name, int(np.count_nonzero(~kept)), removed, int(left.sum())))
        return Table(rows=rows, names=("cut", "fails", "removes", "left"))


def column(table: Table, name: str) -> NDArray[Any]:
    """A column by name or by one of its aliases, in any case; masked numbers become NaN.

    Raises
    ------
    LabelError
        If the table has none of them.
    """
    lookup = {text.lower(): text for text in reversed(table.colnames)}
    wanted = (name.lower(), *ALIASES.get(name.lower(), ()))
    found = next((lookup[text] for text in wanted if text in lookup), None)
    if found is None:
        raise LabelError(
            f"The cut needs a column {' or '.join(dict.fromkeys(wanted))}; the table has "
            f"{', '.join(table.colnames)}. Name another column, or leave the cut out."
        )
    values = table[found]
    data: Any = getattr(values, "value", values)
    if np.ma.is_masked(data) and data.dtype.kind in "fiu":
        return np.ma.filled(data.astype(float), np.nan)
    return np.asarray(data)


def _numbers(table: Table, name: str) -> NDArray[Any]:
    try:
        values = column(table, name).astype(float)
    except (TypeError, ValueError) as error:
        raise LabelError(f"Column {name} must hold numbers to be cut on; {error}") from error
    return np.where(values < MISSING, np.nan, values)


def above(name: str, limit: float, *, inclusive: bool = False) -> Cut:
    """Rows whose value is above the limit, or at it if inclusive."""
    sign = ">=" if inclusive else ">"
    compare = np.greater_equal if inclusive else np.greater
    return Cut(f"{name} {sign} {limit:g}", lambda table: compare(_numbers(table, name), limit))


def below(name: str, limit: float) -> Cut:
    """Rows whose value is below the limit."""
    return Cut(f"{name} < {limit:g}", lambda table: _numbers(table, name) < limit)


def between(name: str, low: float, high: float) -> Cut:
    """Rows whose value is between the limits, limits excluded."""

    def test(table: Table) -> BoolArray:
        values = _numbers(table, name)
        return (values > low) & (values < high)

    return Cut(f"{low:g} < {name} < {high:g}", test)


def is_zero(name: str) -> Cut:
    """Rows whose flag is 0. A missing flag does not pass."""
    return Cut(f"{name} = 0", lambda table: column(table, name).astype(float) == 0)


def bits_clear(name: str, *numbers: int) -> Cut:
    """Rows whose flag has none of the numbered bits set. A missing flag does not pass."""
    value = sum(1 << number for number in set(numbers))

    def test(table: Table) -> BoolArray:
        flags = column(table, name)
        known = np.isfinite(flags.astype(float))
        return known & ((np.where(known, flags, 0).astype(np.int64) & value) == 0)

    return Cut(f"{name} without bits {', '.join(map(str, numbers))}", test)


def equals(name: str, *values: str) -> Cut:
    """Rows whose text is one of the values."""

    def test(table: Table) -> BoolArray:
        text = column(table, name)
        text = np.char.decode(text, "ascii", "replace") if text.dtype.kind == "S" else text
        return np.isin(np.char.strip(text.astype(str)), values)

    return Cut(f"{name} is {' or '.join(values)}", test)


def has_labels(*names: str) -> Cut:
    """Rows in which every one of the labels has a value (not NaN, masked or -9999)."""

    def test(table: Table) -> BoolArray:
        return np.all([np.isfinite(_numbers(table, name)) for name in names], axis=0)

    return Cut(f"has {', '.join(names)}", test)


def snr_above(limit: float, *, name: str = "snr", inclusive: bool = False) -> Cut:
    """Signal to noise above a limit."""
    return above(name, limit, inclusive=inclusive)


def teff_between(low: float, high: float) -> Cut:
    """Effective temperature (K) between limits."""
    return between("teff", low, high)


def fe_h_above(limit: float) -> Cut:
    """[Fe/H] above a limit."""
    return above("fe_h", limit)


def vscatter_below(limit: float) -> Cut:
    """Scatter of the visits' velocities (km/s) below a limit: no close binaries."""
    return below("vscatter", limit)


def no_starflag() -> Cut:
    """APOGEE's STARFLAG is 0: no warning about the spectra."""
    return is_zero("starflag")


def no_aspcapflag() -> Cut:
    """APOGEE's ASPCAPFLAG is 0: no warning about the parameters."""
    return is_zero("aspcapflag")


APOGEE_2018_TEST = (
    no_starflag()
    & no_aspcapflag()
    & teff_between(4000, 5500)
    & fe_h_above(-3)
    & has_labels("logg")
    & vscatter_below(1.0)
)
"""The test set of Fabbro et al. (2018), section 3: the training cuts at any S/N."""
APOGEE_2018 = snr_above(200, inclusive=True) & APOGEE_2018_TEST
"""The training set of Fabbro et al. (2018): S/N of the combined spectrum 200 or more."""
APOGEE_DR17 = snr_above(100) & bits_clear("aspcapflag", 23) & bits_clear("starflag", 0, 4)
"""Usual for DR17: ASPCAPFLAG without STAR_BAD (23), STARFLAG without BAD_PIXELS (0) and
VERY_BRIGHT_NEIGHBOR (4) (https://www.sdss4.org/dr17/irspec/apogee-bitmasks)."""
LAMOST_LRS = equals("class", "STAR") & above("snrg", 30) & has_labels("teff", "logg", "feh")
"""Usual for the LAMOST stellar catalogue of A, F, G and K stars."""
SEGUE = above("snr", 20) & is_zero("zwarning") & has_labels("teff_adop", "logg_adop", "feh_adop")
"""Usual for the SEGUE stellar parameter pipeline (sppParams joined with specObj)."""
GALAH_DR3 = is_zero("flag_sp") & is_zero("flag_fe_h") & above("snr_c3_iraf", 30)
"""Recommended for GALAH DR3 (Buder et al. 2021, section 6)."""
GALAH_DR4 = is_zero("flag_sp") & is_zero("flag_fe_h") & above("snr_px_ccd3", 30)
"""Recommended for GALAH DR4 (Buder et al. 2024)."""
