"""Isotope fractions, and what they do to the strength of a line of one isotopologue.

The defaults are terrestrial fractions by number as NIST lists them (Coursey et al., Atomic Weights
and Isotopic Compositions, from the IUPAC evaluation of Berglund and Wieser 2011, Pure Appl. Chem.
83, 397). They hold for the Sun within what matters here; deuterium is destroyed in stars and is
given a token 1e-10. Dredged-up giants have more 13C: give `dict(TERRESTRIAL) | {6: {12: 0.9, 13:
0.1}}` or use `LineList.with_isotopes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import factorial, log10

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError
from starnet.synthesis.lines.species import NUMBERS, SYMBOLS, blocks, species_name

Fractions = Mapping[int, Mapping[int, float]]
"""Fraction by number of each isotope: atomic number -> mass number -> fraction."""

_TABLE = """
H 1:1.0 2:1e-10
He 3:1.34e-6 4:0.99999866
Li 6:0.0759 7:0.9241
Be 9:1.0
B 10:0.199 11:0.801
C 12:0.9893 13:0.0107
N 14:0.99636 15:0.00364
O 16:0.99757 17:0.00038 18:0.00205
F 19:1.0
Ne 20:0.9048 21:0.0027 22:0.0925
Na 23:1.0
Mg 24:0.7899 25:0.1 26:0.1101
Al 27:1.0
Si 28:0.92223 29:0.04685 30:0.03092
P 31:1.0
S 32:0.9499 33:0.0075 34:0.0425 36:0.0001
Cl 35:0.7576 37:0.2424
Ar 36:0.003336 38:0.000629 40:0.996035
K 39:0.932581 40:0.000117 41:0.067302
Ca 40:0.96941 42:0.00647 43:0.00135 44:0.02086 46:4.0e-5 48:0.00187
Sc 45:1.0
Ti 46:0.0825 47:0.0744 48:0.7372 49:0.0541 50:0.0518
V 50:0.0025 51:0.9975
Cr 50:0.04345 52:0.83789 53:0.09501 54:0.02365
Mn 55:1.0
Fe 54:0.05845 56:0.91754 57:0.02119 58:0.00282
Co 59:1.0
Ni 58:0.68077 60:0.26223 61:0.011399 62:0.036346 64:0.009255
Cu 63:0.6915 65:0.3085
Zn 64:0.4917 66:0.2773 67:0.0404 68:0.1845 70:0.0061
Ga 69:0.60108 71:0.39892
Ge 70:0.2057 72:0.2745 73:0.0775 74:0.365 76:0.0773
As 75:1.0
Se 74:0.0089 76:0.0937 77:0.0763 78:0.2377 80:0.4961 82:0.0873
Br 79:0.5069 81:0.4931
Kr 78:0.00355 80:0.02286 82:0.11593 83:0.115 84:0.56987 86:0.17279
Rb 85:0.7217 87:0.2783
Sr 84:0.0056 86:0.0986 87:0.07 88:0.8258
Y 89:1.0
Zr 90:0.5145 91:0.1122 92:0.1715 94:0.1738 96:0.028
Nb 93:1.0
Mo 92:0.1453 94:0.0915 95:0.1584 96:0.1667 97:0.096 98:0.2439 100:0.0982
Ru 96:0.0554 98:0.0187 99:0.1276 100:0.126 101:0.1706 102:0.3155 104:0.1862
Rh 103:1.0
Pd 102:0.0102 104:0.1114 105:0.2233 106:0.2733 108:0.2646 110:0.1172
Ag 107:0.51839 109:0.48161
Cd 106:0.0125 108:0.0089 110:0.1249 111:0.128 112:0.2413 113:0.1222 114:0.2873 116:0.0749
In 113:0.0429 115:0.9571
Sn 112:0.0097 114:0.0066 115:0.0034 116:0.1454 117:0.0768
Sn 118:0.2422 119:0.0859 120:0.3258 122:0.0463 124:0.0579
Sb 121:0.5721 123:0.4279
Te 120:0.0009 122:0.0255 123:0.0089 124:0.0474 125:0.0707 126:0.1884 128:0.3174 130:0.3408
I 127:1.0
Xe 124:0.000952 126:0.00089 128:0.019102 129:0.264006 130:0.04071
Xe 131:0.212324 132:0.269086 134:0.104357 136:0.088573
Cs 133:1.0
Ba 130:0.00106 132:0.00101 134:0.02417 135:0.06592 136:0.07854 137:0.11232 138:0.71698
La 138:0.0008881 139:0.9991119
Ce 136:0.00185 138:0.00251 140:0.8845 142:0.11114
Pr 141:1.0
Nd 142:0.27152 143:0.12174 144:0.23798 145:0.08293 146:0.17189 148:0.05756 150:0.05638
Sm 144:0.0307 147:0.1499 148:0.1124 149:0.1382 150:0.0738 152:0.2675 154:0.2275
Eu 151:0.4781 153:0.5219
Gd 152:0.002 154:0.0218 155:0.148 156:0.2047 157:0.1565 158:0.2484 160:0.2186
Tb 159:1.0
Dy 156:0.00056 158:0.00095 160:0.02329 161:0.18889 162:0.25475 163:0.24896 164:0.2826
Ho 165:1.0
Er 162:0.00139 164:0.01601 166:0.33503 167:0.22869 168:0.26978 170:0.1491
Tm 169:1.0
Yb 168:0.00123 170:0.02982 171:0.1409 172:0.2168 173:0.16103 174:0.32026 176:0.12996
Lu 175:0.97401 176:0.02599
Hf 174:0.0016 176:0.0526 177:0.186 178:0.2728 179:0.1362 180:0.3508
Ta 180:0.0001201 181:0.9998799
W 180:0.0012 182:0.265 183:0.1431 184:0.3064 186:0.2843
Re 185:0.374 187:0.626
Os 184:0.0002 186:0.0159 187:0.0196 188:0.1324 189:0.1615 190:0.2626 192:0.4078
Ir 191:0.373 193:0.627
Pt 190:0.00012 192:0.00782 194:0.3286 195:0.3378 196:0.2521 198:0.07356
Au 197:1.0
Hg 196:0.0015 198:0.0997 199:0.1687 200:0.231 201:0.1318 202:0.2986 204:0.0687
Tl 203:0.2952 205:0.7048
Pb 204:0.014 206:0.241 207:0.221 208:0.524
Bi 209:1.0
Th 232:1.0
Pa 231:1.0
U 234:5.4e-5 235:0.007204 238:0.992742
"""


def _parse(table: str) -> dict[int, dict[int, float]]:
    fractions: dict[int, dict[int, float]] = {}
    for line in table.split("\n"):
        if line:
            symbol, *pairs = line.split()
            found = (pair.split(":") for pair in pairs)
            fractions.setdefault(NUMBERS[symbol], {}).update({int(a): float(x) for a, x in found})
    return fractions


TERRESTRIAL: Fractions = _parse(_TABLE)
"""The default fractions."""


def log_fraction(code: int, fractions: Fractions = TERRESTRIAL) -> float:
    """Log10 of the share that an isotopologue has in its species; 0 where no isotope is named.

    Homonuclear pairs count both arrangements: of C2, 12C13C has the share 2 f(12) f(13).

    Raises
    ------
    ConfigError
        If a named isotope has no positive fraction in ``fractions``.
    """
    atoms = [divmod(int(b), 1000) for b in blocks(code)[0] if b % 1000]
    total = 0.0
    for z, a in atoms:
        share = fractions.get(z, {}).get(a, 0.0)
        if not share > 0.0:
            raise ConfigError(
                f"the isotope fractions need a positive value for {a}{SYMBOLS[z - 1]}, which a "
                f"line of {species_name(code)} asks for; add it to the mapping of fractions."
            )
        total += log10(share)
    for z in {z for z, _ in atoms}:
        masses = Counter(a for other, a in atoms if other == z)
        ways = factorial(masses.total())
        for count in masses.values():
            ways //= factorial(count)
        total += log10(ways)
    return total


def log_fractions(
    codes: NDArray[np.int64], fractions: Fractions = TERRESTRIAL
) -> NDArray[np.float64]:
    """`log_fraction` of an array of codes (N,)."""
    unique, where = np.unique(codes, return_inverse=True)
    return np.array([log_fraction(int(c), fractions) for c in unique], dtype=float)[where]
