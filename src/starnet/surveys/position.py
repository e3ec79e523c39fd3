"""Stars by their place on the sky: names from coordinates, and visits that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def position_name(prefix: str, ra: float, dec: float) -> str:
    """The IAU's kind of name: ``SDSS J093917.06+004107.7``; empty if a coordinate is unknown."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return ""
    hundredths = int((ra % 360.0) * 24000.0 + 1e-6)  # truncated, as the IAU asks
    tenths = int(abs(dec) * 36000.0 + 1e-6)
    hours, minutes, seconds = _sexagesimal(hundredths, 100)
    degrees, arcmin, arcsec = _sexagesimal(tenths, 10)
    sign = "-" if dec < 0 else "+"
    return (
        f"{prefix} J{hours:02d}{minutes:02d}{seconds:05.2f}"
        f"{sign}{degrees:02d}{arcmin:02d}{arcsec:04.1f}"
    )


def stars_by_position(
    ra: ArrayLike, dec: ArrayLike, names: ArrayLike, *, radius: float = 3.0
) -> NDArray[np.str_]:
    """One name for all spectra that lie together on the sky.

    Surveys name a star by the coordinates of each visit, and the last digit differs between
    visits: without this, one star would be two, and could be trained and tested on.

    Parameters
    ----------
    ra, dec : array (N,)
        Degrees. Spectra without coordinates (NaN) keep their name.
    names : array (N,) of str
        Names as they are; spectra of one name stay together.
    radius : float
        Arcseconds. Spectra nearer than this to one another are of one star, and so is a chain.

    Returns
    -------
    array (N,) of str
        Of each group the name that sorts first.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    name = np.asarray(names, dtype=str)
    lon, lat = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    known = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
    lon, lat = lon[known], lat[known]
    xyz = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 2.0 * np.sin(np.radians(radius / 3600.0) / 2.0)
    near = known[KDTree(xyz).query_pairs(chord, output_type="ndarray")] if known.size else known
    _, first, same = np.unique(name, return_index=True, return_inverse=True)
    links = np.concatenate([near.reshape(-1, 2), np.stack([first[same], np.arange(name.size)], 1)])
    graph: Any = coo_matrix((np.ones(len(links)), links.T), shape=(name.size, name.size))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(name, kind="stable")
    _, earliest = np.unique(group[order], return_index=True)
    return name[order][earliest][group]


def _sexagesimal(count: int, per_second: int) -> tuple[int, int, float]:
    whole, rest = divmod(count, 3600 * per_second)
    minutes, rest = divmod(rest, 60 * per_second)
    return whole, minutes, rest / per_second
