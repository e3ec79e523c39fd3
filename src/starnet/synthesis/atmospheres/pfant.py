"""The binary grid of models that PFANT reads (``grid.mod``).

Records of 1200 bytes, little-endian: int32 number of depths D; float32 teff, logg, [Fe/H],
[alpha/Fe] and the number of helium atoms per hydrogen; from byte 64, D times five float32: column
of hydrogen nuclei (per cm2), theta = 5040/T, electron and gas pressure (dyn/cm2), log10 of the
optical depth. The last record's number of depths is 9999.

The optical depth is that at 5000 Å in steps of 0.1 dex, but for models on MARCS's own 56 depths
(log tau -5 to 2), where it is the Rosseland one. So it is in the public grid: its giants have the
pressures of the MARCS models at equal depth at 5000 Å, its Sun those at equal Rosseland depth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from starnet.errors import DataError, ReadError
from starnet.synthesis.constants import BOLTZMANN, DALTON

from .atmosphere import Atmosphere, FloatArray

RECORD, DATA = 1200, 64
END = 9999
MARCS_DEPTHS = 56
MAX_DEPTHS = (RECORD - DATA) // 20

METAL_MASS = 0.0142
"""Atomic masses of metals per hydrogen atom at [Fe/H] = 0, as the grid itself counts.

With (1 + 4 He/H + 0.0142 10^[Fe/H]) atomic masses per hydrogen nucleus gas pressure equals gravity
times column mass in the deep layers of the public grid: 0.998 in the median, less only where
radiation carries the hot giants.
"""


def identify(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a record of this grid."""
    if len(head) < DATA:
        return False
    depths = int(np.frombuffer(head[:4], "<i4")[0])
    return 3 <= depths <= MAX_DEPTHS and _plausible(np.frombuffer(head[4:24], "<f4"))


def _plausible(labels: FloatArray) -> bool:
    teff, logg, m_h, alpha_m, helium = labels.astype(float).tolist()
    star = 500 < teff < 1e5 and -3 < logg < 9
    return star and -9 < m_h < 3 and -3 < alpha_m < 3 and 0 < helium < 1


def read(path: Path) -> tuple[Atmosphere, ...]:
    """All models of the file; geometry and microturbulence are not in it.

    Raises
    ------
    ReadError
        If the file is cut off or a record makes no sense.
    """
    content = path.read_bytes()
    n, rest = divmod(len(content), RECORD)
    depths = np.frombuffer(content[: n * RECORD], "<i4")[:: RECORD // 4]
    ends = np.flatnonzero(depths == END)
    if rest or not len(ends):
        raise ReadError(
            f"{path}: a grid of 1200-byte records that ends with the number 9999 was expected, but "
            f"{len(content)} bytes came without that end; the file is cut off, get it again."
        )
    values = np.frombuffer(content, "<f4").reshape(n, -1)
    return tuple(_model(values[i], int(depths[i]), f"{path}: record {i}") for i in range(ends[0]))


def _model(record: FloatArray, depths: int, where: str) -> Atmosphere:
    if not 3 <= depths <= MAX_DEPTHS:
        raise ReadError(f"{where} has {depths} depths; 3 to {MAX_DEPTHS} fit into a record.")
    if not _plausible(record[1:6]):
        raise ReadError(f"{where} has no labels of a star; the file is damaged, get it again.")
    teff, logg, m_h, alpha_m, helium = (round(float(v), 4) for v in record[1:6])
    first = DATA // 4
    nh, theta, pe, pg, log_tau = (
        record[first : first + 5 * depths].astype(np.float64).reshape(depths, 5).T
    )
    mass = DALTON * (1.0 + 4.0 * helium + METAL_MASS * 10.0**m_h)
    # steps of 0.1 lose their last digits in float32, and a common scale wants them back
    log_tau = np.round(log_tau, 4)
    rosseland = depths == MARCS_DEPTHS and log_tau[0] == -5.0
    with np.errstate(all="ignore"):  # the value refuses what is not finite
        tau = 10.0**log_tau
        temperature = 5040.0 / theta
        electrons = pe / (BOLTZMANN * temperature)
    try:
        return Atmosphere(
            teff, logg, m_h, alpha_m, nh * mass, temperature, pg, electrons,
            tau_ross=tau if rosseland else None,
            tau_5000=None if rosseland else tau, source=f"PFANT {Path(where).name}",
        )  # fmt: skip
    except DataError as error:
        raise ReadError(f"{where} is damaged: {error} Get the file again.") from error
