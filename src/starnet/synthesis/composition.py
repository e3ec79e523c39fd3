"""From labels to what an atmosphere and its gas are made of: linear maps, kept as matrices.

Abundances are log10 n_X / n_H. A label vector of L numbers gives them as ``solar + M @ labels``,
so they can be taken in numpy and in torch alike, with derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, LabelError
from starnet.synthesis.elements import SYMBOLS

Array = NDArray[Any]  # float64

ELEMENTS = SYMBOLS[:92]
"""The 92 elements of the gas, in order of atomic number."""

ALPHA = ("O", "Ne", "Mg", "Si", "S", "Ar", "Ca", "Ti")
"""What ``alpha_m`` and ``alpha_fe`` raise together."""
TRACERS = ("O", "Mg", "Si", "S", "Ca", "Ti")
"""Whose mean [X/Fe] is the atmosphere's alpha enhancement where no label says it."""
MOTIONS = ("vmic", "vmac", "vsini")
STELLAR = ("teff", "logg", *MOTIONS)

ABSENT = -8.0
"""log10 n/H + 12 of elements that have no stable isotope: next to nothing, and never zero."""
_GREVESSE_2007 = """
12.00 10.93 1.05 1.38 2.70 8.39 7.78 8.66 4.56 7.84 6.17 7.53 6.37 7.51 5.36 7.14 5.50 6.18 5.08
6.31 3.17 4.90 4.00 5.64 5.39 7.45 4.92 6.23 4.21 4.60 2.88 3.58 2.29 3.33 2.56 3.25 2.60 2.92
2.21 2.58 1.42 1.92 - 1.84 1.12 1.66 0.94 1.77 1.60 2.00 1.00 2.19 1.51 2.24 1.07 2.17 1.13 1.70
0.58 1.45 - 1.00 0.52 1.11 0.28 1.14 0.51 0.93 0.00 1.08 0.06 0.88 -0.17 1.11 0.23 1.25 1.38 1.64
1.01 1.13 0.90 2.00 0.65 - - - - - - 0.06 - -0.52
"""
_ASPLUND_2009 = """
12.00 10.93 1.05 1.38 2.70 8.43 7.83 8.69 4.56 7.93 6.24 7.60 6.45 7.51 5.41 7.12 5.50 6.40 5.03
6.34 3.15 4.95 3.93 5.64 5.43 7.50 4.99 6.22 4.19 4.56 3.04 3.65 2.30 3.34 2.54 3.25 2.52 2.87
2.21 2.58 1.46 1.88 - 1.75 0.91 1.57 0.94 1.71 0.80 2.04 1.01 2.18 1.55 2.24 1.08 2.18 1.10 1.58
0.72 1.42 - 0.96 0.52 1.07 0.30 1.10 0.48 0.92 0.10 0.84 0.10 0.85 -0.12 0.85 0.26 1.40 1.38 1.62
0.92 1.17 0.90 1.75 0.65 - - - - - - 0.02 - -0.54
"""


def _table(text: str) -> Array:
    return np.array([ABSENT if word == "-" else float(word) for word in text.split()])


SOLAR = {"grevesse2007": _table(_GREVESSE_2007), "asplund2009": _table(_ASPLUND_2009)}
"""Solar abundances on the scale of 12: Grevesse, Asplund and Sauval 2007 (Space Sci. Rev. 130,
105), which MARCS and APOGEE take, and Asplund et al. 2009 (ARA&A 47, 481)."""


def vmic_relation(logg: Any) -> Any:
    """Microturbulence of giants in km/s (Holtzman et al. 2018, AJ 156, 125, of APOGEE DR14).

    log10 vmic = 0.226 - 0.0228 logg + 0.0297 logg**2 - 0.0113 logg**3, for numpy and torch.
    """
    return 10.0 ** (0.226 - 0.0228 * logg + 0.0297 * logg**2 - 0.0113 * logg**3)


@dataclass(frozen=True, eq=False)
class Composition:
    """The linear maps from labels to the atmosphere's parameters and the abundances.

    Attributes
    ----------
    names : tuple of str
        The L labels.
    atmosphere : array (4, L)
        Gives teff, logg, m_h, alpha_m.
    solar : array (92,)
        log10 n_X / n_H of the Sun.
    abundance : array (92, L)
        Added to it: ``solar + abundance @ labels``.
    """

    names: tuple[str, ...]
    atmosphere: Array
    solar: Array
    abundance: Array

    @classmethod
    def of(cls, names: Sequence[str], solar: str = "grevesse2007") -> Composition:
        """The maps for labels of these names.

        Parameters
        ----------
        names : sequence of str
            ``teff``, ``logg`` and ``fe_h`` (or ``m_h``) at least. ``alpha_m`` (or ``alpha_fe``)
            raises `ALPHA` together. ``x_h`` sets [X/H] and ``x_fe`` sets [X/Fe] of an element,
            whatever the others say. ``vmic``, ``vmac`` and ``vsini`` are taken elsewhere.
        solar : str
            One of `SOLAR`.

        Raises
        ------
        LabelError
            If a label is not known or missing, or two labels set the same abundance.
        ConfigError
            If there are no solar abundances of that name.
        """
        names = tuple(names)
        if solar not in SOLAR:
            raise ConfigError(f"solar must be one of {', '.join(SOLAR)}; received {solar!r}.")
        metal = _one(names, ("fe_h", "m_h"), needed=True)
        alpha = _one(names, ("alpha_m", "alpha_fe"))
        for name in ("teff", "logg"):
            _one(names, (name,), needed=True)
        elements = _elements(names, taken=(metal, alpha))
        rows = np.zeros((92, len(names)))
        rows[2:, names.index(str(metal))] = 1.0
        if alpha:
            rows[[ELEMENTS.index(x) for x in ALPHA], names.index(alpha)] = 1.0
        for symbol, (name, per_iron) in elements.items():
            row = rows[ELEMENTS.index(symbol)]
            row[:] = 0.0
            row[names.index(name)] = 1.0
            if per_iron:
                row[names.index(str(metal))] = 1.0
        atmosphere = np.zeros((4, len(names)))
        for place, name in enumerate(("teff", "logg", str(metal))):
            atmosphere[place, names.index(name)] = 1.0
        if alpha:
            atmosphere[3, names.index(alpha)] = 1.0
        else:
            atmosphere[3] = rows[[ELEMENTS.index(x) for x in TRACERS]].mean(axis=0) - atmosphere[2]
        return cls(names, atmosphere, SOLAR[solar] - 12.0, rows)

    def place(self, name: str) -> int | None:
        """Where a label is, or None."""
        return self.names.index(name) if name in self.names else None


def _one(names: Sequence[str], spellings: Sequence[str], needed: bool = False) -> str | None:
    found = [name for name in spellings if name in names]
    if len(found) > 1 or (needed and not found):
        what = "only one" if found else "one"
        raise LabelError(
            f"Labels of a synthesis need {what} of {', '.join(spellings)}; "
            f"received {', '.join(names)}."
        )
    return found[0] if found else None


def _elements(names: Sequence[str], taken: Sequence[str | None]) -> dict[str, tuple[str, bool]]:
    """Symbol -> (label, whether it is per iron) of the labels that set one element."""
    found: dict[str, tuple[str, bool]] = {}
    for name in names:
        if name in STELLAR or name in taken:
            continue
        symbol, _, per = name.rpartition("_")
        symbol = symbol.capitalize()
        if per not in ("h", "fe") or symbol not in ELEMENTS[1:]:
            raise LabelError(
                f"The label {name!r} has no meaning for a synthesis; there are teff, logg, vmic, "
                f"vmac, vsini, fe_h or m_h, alpha_m or alpha_fe, and x_h or x_fe of an element "
                f"x such as mg_fe."
            )
        if symbol in found or (symbol == "Fe" and "fe_h" in taken):
            raise LabelError(f"The labels {', '.join(names)} set the abundance of {symbol} twice.")
        found[symbol] = (name, per == "fe")
    return found
