"""One HTML file to look into a network: maps to zoom in, lines by name, and the response."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet._whole import write_text
from starnet.errors import DataError, MissingDependencyError
from starnet.explain.features import Features
from starnet.explain.response import Response
from starnet.explain.sensitivity import Maps
from starnet.spectra import label_spec

Array = NDArray[Any]
BUDGET = 2_800_000
"""Bytes of maps in the file; bins beyond are left out. The drawing library takes 4.7 MB more."""
LARGEST = 32767
NONE = -32768


def write_page(
    path: str | Path,
    maps: Mapping[str, Maps],
    features: Mapping[str, Features],
    *,
    response: Response | None = None,
    title: str = "Where the network looks",
    lead: str = "",
) -> Path:
    """Write the page, whole or not at all; it needs nothing else to be read.

    Parameters
    ----------
    path : path
    maps : mapping of title to Maps
        One or two sets of stars, such as synthetic and observed, on the same grid.
    features : mapping of label to Features
    response : Response, optional
    title, lead : str
        Heading, and a paragraph below it.

    Raises
    ------
    MissingDependencyError
        If plotly is not installed.
    DataError
        If the sets are on different grids, or there is none.
    """
    library = plotly_library()
    sets = list(maps.values())
    if not sets or any(not one.grid.matches(sets[0].grid) for one in sets[1:]):
        raise DataError("A page needs one or more sets of maps on the same grid.")
    data = {
        "wave": np.round(sets[0].grid.to_vacuum().wavelength, 2).tolist(),
        "chips": [list(chip) for chip in sets[0].grid.chips],
        "labels": list(sets[0].names),
        "units": {name: label_spec(name).unit for name in sets[0].names},
        "sets": _sets(maps),
        "features": {name: _rows(found) for name, found in features.items()},
        "response": None if response is None else _response(response),
    }
    about = "" if response is None else _about(response)
    folder = resources.files("starnet.explain")
    text = (folder / "page.html").read_text()
    fill = {
        "TITLE": html.escape(title),
        "LEAD": html.escape(lead),
        "RESPONSE": html.escape(about),
        "PLOTLY": library,
        "DATA": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/"),
        "SCRIPT": (folder / "page.js").read_text(),
    }
    pieces = text.split("@")
    return write_text(path, "".join(fill.get(p, p) for p in pieces), "The page")


def plotly_library() -> str:
    """The drawing library, as text.

    Raises
    ------
    MissingDependencyError
        If plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingDependencyError(
            "The interactive page needs plotly, which is not installed: pip install "
            "'starnet[explain]', or leave the page out (--no-html)."
        ) from error
    return str(get_plotlyjs())


def _sets(maps: Mapping[str, Maps]) -> list[dict[str, Any]]:
    """Flux, maps and errors of the first bin of each set, then maps of bins as many as fit."""
    first = next(iter(maps.values()))
    curve = first.grid.n_pixels * 8 / 3
    left = BUDGET - sum(curve * (2 * len(one.names) + 1) for one in maps.values())
    out = []
    kept = {"all"}
    for title, one in maps.items():
        rows = []
        for b, name in enumerate(one.bins):
            cost = curve * (len(one.names) + 1)
            if name not in kept and left < cost:
                continue
            left -= 0 if name == "all" else cost
            row: dict[str, Any] = {"title": name, "count": int(one.count[b])}
            row["flux"] = packed(one.flux[b])
            row["mean"] = _packed_by_label(one, one.mean[b])
            if name == "all":
                row["error"] = _packed_by_label(one, one.error[b])
            rows.append(row)
        out.append({"title": title, "bins": rows})
    return out


def _packed_by_label(maps: Maps, values: Array) -> dict[str, Any]:
    return {name: packed(values[i]) for i, name in enumerate(maps.names)}


def packed(values: Array) -> dict[str, Any]:
    """Numbers as 16-bit integers in base64 and the scale they are multiplied with."""
    finite = np.isfinite(values)
    most = float(np.max(np.abs(values[finite]), initial=0.0))
    scale = most / LARGEST or 1.0
    whole = np.where(finite, np.rint(np.where(finite, values, 0.0) / scale), NONE)
    return {
        "data": base64.b64encode(whole.astype("<i2").tobytes()).decode(),
        "scale": float(f"{scale:.8g}"),
    }


def _rows(found: Features) -> list[dict[str, Any]]:
    shown = ("rank", "wavelength", "sensitivity", "error", "species", "line", "beside")
    return [
        {name: _plain(row[name]) if name in ("error", "line") else row[name] for name in shown}
        for row in found.rows()
    ]


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _response(found: Response) -> dict[str, Any]:
    matrix = [[_plain(round(float(v), 3)) for v in row] for row in found.matrix]
    return {"names": list(found.names), "matrix": matrix}


def _about(found: Response) -> str:
    a, b, value = found.largest
    lost = [name for name in found.names if name not in found.counted]
    missing = f" Not measured: {', '.join(lost)}." if lost else ""
    return (
        f"{len(found.each)} stars, each synthesised again with one label changed (row) and all "
        "else held: what is predicted to change (column), over the change; 1 on the diagonal and "
        f"0 elsewhere is perfect. Errors are quoted as of S/N {found.snr:g}. Of the "
        f"{len(found.elements)} measured elements the mean diagonal is {found.mean_diagonal:.2f} "
        f"and the largest off-diagonal {value:+.2f} ({a} changed, {b} moves).{missing}"
    )
