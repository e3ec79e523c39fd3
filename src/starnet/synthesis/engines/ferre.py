"""Grids of FERRE in text (``.dat``): a namelist or several, then one spectrum on a line.

The header names the number of labels (N_OF_DIM), of values of each (N_P), their names (LABEL(i)),
lowest values (LLIMITS) and steps (STEPS); WAVE, LOGW and NPIX give the wavelengths: WAVE(1) +
WAVE(2) i, in log10 with LOGW = 1 and in the natural logarithm with LOGW = 2. With MULTI = n, n more
sections with their own WAVE and NPIX follow, of which each line holds one after the other. The last
label varies fastest (FERRE's user guide, Allende Prieto et al. 2006, ApJ 636, 804).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from starnet.errors import ReadError
from starnet.synthesis.contract import Array
from starnet.synthesis.engines._cube import Cube, Rows, assemble

_SETTING = re.compile(r"([A-Za-z_]\w*)\s*(?:\(\s*(\d+)\s*\))?\s*=")
CHUNK = 1 << 24


def open_ferre(path: Path, medium: str | None) -> Cube:
    """Open a FERRE grid; one pass through the file finds where its lines begin."""
    sections, start, line = _headers(path)
    first = sections[0]
    chips = sections[1:] or sections
    n_labels = int(_one(path, first, "N_OF_DIM"))
    n_p = _numbers(path, first, "N_P", n_labels).astype(int)
    low = _numbers(path, first, "LLIMITS", n_labels)
    steps = _numbers(path, first, "STEPS", n_labels)
    names = [str(first.get(f"LABEL({i})", f"label{i}")) for i in range(1, n_labels + 1)]
    waves = [_wavelengths(path, section) for section in chips]
    wave = np.concatenate(waves)
    order = np.argsort(wave, kind="stable")
    offsets = _line_starts(path, start)
    total = int(np.prod(n_p))
    if len(offsets) - 1 < total:
        raise ReadError(
            f"{path} must hold {total} spectra after its header of {line} lines; it holds "
            f"{len(offsets) - 1}. Is the file cut off?"
        )
    parts: dict[str, Any] = {"label_names": names, "wavelength": wave[order]}
    axes = zip(names, low, steps, n_p, strict=True)
    parts |= {f"axis_{name}": a + step * np.arange(n) for name, a, step, n in axes}
    power = first.get("RESOLUTION", chips[0].get("RESOLUTION"))
    if power is not None:
        parts["resolving_power"] = float(power.split()[0])
    return assemble(path, parts, (*n_p, wave.size), _rows(path, offsets, order), None, medium)


def _headers(path: Path) -> tuple[list[dict[str, str]], int, int]:
    """Settings of each section, the byte where spectra begin, and the number of header lines."""
    sections: list[dict[str, str]] = []
    wanted, lines = 1, 0
    with path.open("rb") as file:
        while len(sections) < wanted:
            text, closed = [], False
            for raw in iter(file.readline, b""):
                lines += 1
                line = raw.decode("latin-1").strip()
                if line.startswith("/") or line.upper().startswith("&END"):
                    closed = True
                    break
                text.append(line)
                if len(text) > 2000 or (len(text) == 1 and not line.startswith("&")):
                    break
            if not closed:
                raise ReadError(
                    f"{path} must begin with the namelists &SYNTH ... / of FERRE, {wanted} of "
                    f"them; number {len(sections) + 1} does not end."
                )
            sections.append(_settings(" ".join(text)))
            wanted = 1 + int(float(sections[0].get("MULTI", "0") or 0))
        return sections, file.tell(), lines


def _settings(text: str) -> dict[str, str]:
    found = list(_SETTING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    settings: dict[str, str] = {}
    for match, end in zip(found, ends, strict=True):
        name = match[1].upper() + (f"({match[2]})" if match[2] else "")
        settings[name] = text[match.end() : end].strip().rstrip(",").strip("'\" ")
    return settings


def _one(path: Path, section: dict[str, str], name: str) -> str:
    if name not in section:
        raise ReadError(f"{path}: the header must give {name}; it gives {', '.join(section)}.")
    return section[name]


def _numbers(path: Path, section: dict[str, str], name: str, n: int) -> Array:
    words = _one(path, section, name).replace(",", " ").replace("D", "E").split()
    try:
        values = np.array([float(word) for word in words[:n]])
    except ValueError:
        values = np.empty(0)
    if values.size != n:
        raise ReadError(f"{path}: {name} must give {n} numbers; it gives {' '.join(words)!r}.")
    return values


def _wavelengths(path: Path, section: dict[str, str]) -> Array:
    start, step = _numbers(path, section, "WAVE", 2)
    axis = start + step * np.arange(int(_one(path, section, "NPIX").split()[0]))
    kind = int(float(section.get("LOGW", "0") or 0))
    if kind not in (0, 1, 2):
        raise ReadError(f"{path}: LOGW must be 0, 1 or 2; received {kind}.")
    return axis if kind == 0 else 10.0**axis if kind == 1 else np.exp(axis)


def _line_starts(path: Path, start: int) -> Array:
    """Where each line begins, and at the end where the last one ends."""
    places = [start]
    with path.open("rb") as file:
        file.seek(start)
        at, rest = start, True
        while chunk := file.read(CHUNK):
            here = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10) + at + 1
            places += here.tolist()
            at += len(chunk)
            rest = not chunk.endswith(b"\n")
    if rest and at > places[-1]:
        places.append(at)
    return np.array(places, dtype=np.int64)


def _rows(path: Path, offsets: Array, order: Array) -> Rows:
    def rows(which: Array, pixels: slice) -> Array:
        made = []
        with path.open("rb") as file:
            for row in np.asarray(which):
                file.seek(int(offsets[row]))
                words = file.read(int(offsets[row + 1] - offsets[row])).split()
                if len(words) != order.size:
                    raise ReadError(
                        f"{path}: spectrum {int(row) + 1} must have {order.size} numbers; it has "
                        f"{len(words)}. Is the file cut off?"
                    )
                try:
                    made.append(np.array(words, dtype="S").astype(float)[order][pixels])
                except ValueError as error:
                    raise ReadError(f"{path}: spectrum {int(row) + 1}: {error}") from error
        return np.array(made)

    return rows
