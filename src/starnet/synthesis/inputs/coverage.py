"""Which inputs are there, what they cover, and what is missing."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starnet.archives.physics import InputFile, Role, is_whole, physics_folder, physics_roles
from starnet.spectra.air import air_to_vacuum
from starnet.synthesis.inputs.find import find_files
from starnet.synthesis.inputs.parts import ATOMS, MOLECULES, Part

Span = tuple[float, float]

GAPS: tuple[tuple[float, float, str], ...] = (
    (0.0, 2980.0, "There are no atomic lines below 2980 A."),
    (
        3000.0,
        10000.0,
        "TiO, C2 and CO are not among the optical lines, so that spectra below about 4000 K are "
        "incomplete there; the GALAH list has TiO and C2, in the bands of HERMES only.",
    ),
    (
        10000.0,
        12000.0,
        "Atomic lines of 10000-12000 A come from an extract of VALD3 in PFANT (it ends at "
        "13294 A), without which there are none.",
    ),
    (10010.0, 15000.0, "There are no molecular lines in 10010-15000 A."),
    (
        15000.0,
        17500.0,
        "H2O is not among the lines, so that spectra below about 3500 K are incomplete in "
        "15000-17500 A.",
    ),
    (17500.0, 30000.0, "There are no molecular lines above 17500 A."),
    (30000.0, float("inf"), "There are no lines above 30000 A."),
)
"""What the public inputs do not have even when all are there: from, to (A), a sentence."""


def known_gaps(start: float = 0.0, stop: float = float("inf")) -> tuple[str, ...]:
    """Sentences on what the inputs lack between two wavelengths (Angstrom)."""
    return tuple(text for first, last, text in GAPS if first < stop and start < last)


def fetch_command(folder: Path, roles: Iterable[str] = ()) -> str:
    """The command that gets the files of some roles (default: all) into a folder."""
    named = "".join(f" --role {role}" for role in roles)
    to = "" if folder == physics_folder() else f" --to {shlex.quote(str(folder))}"
    return f"starnet download physics{to}{named}"


@dataclass(frozen=True)
class RoleState:
    """What is there of one role.

    `found` has the files on disk by their registered path, `missing` the registered paths that
    are not there, and `damaged` a sentence by registered path.
    """

    role: Role
    found: Mapping[str, Path]
    missing: tuple[str, ...]
    damaged: Mapping[str, str]

    @property
    def state(self) -> str:
        """``damaged``, ``present``, ``missing`` or ``incomplete``."""
        if self.damaged:
            return "damaged"
        if not self.missing:
            return "present"
        return "incomplete" if self.found else "missing"


@dataclass(frozen=True)
class Coverage:
    """What the inputs in a folder cover.

    `checked` says whether checksums were compared; otherwise sizes were.
    """

    folder: Path
    states: tuple[RoleState, ...]
    checked: bool = False

    @classmethod
    def of(cls, folder: Path, *, check: bool = False) -> Coverage:
        """Look at a folder; with `check`, compare every checksum too."""
        roles = physics_roles().values()
        found = find_files(folder, roles)
        return cls(folder, tuple(_state(role, found, check) for role in roles), check)

    @property
    def lacking(self) -> tuple[RoleState, ...]:
        """Needed roles that are not there in full and undamaged."""
        return tuple(s for s in self.states if s.role.needed and s.state != "present")

    @property
    def unfit(self) -> tuple[RoleState, ...]:
        """All roles that are not there in full and undamaged."""
        return tuple(s for s in self.states if s.state != "present")

    @property
    def atoms(self) -> tuple[Span, ...]:
        """Ranges with atomic lines (vacuum Angstrom)."""
        return self._spans(ATOMS)

    @property
    def molecules(self) -> tuple[Span, ...]:
        """Ranges with molecular lines of some kind (vacuum Angstrom)."""
        return self._spans(MOLECULES)

    @property
    def atmospheres(self) -> dict[str, dict[str, Span]]:
        """Ranges of the labels of each set of model atmospheres that is there, by role."""
        return {
            s.role.name: s.role.labels
            for s in self.states
            if s.role.labels and s.state == "present"
        }

    @property
    def command(self) -> str:
        """The command that gets what is missing or damaged; empty when nothing is."""
        if not self.unfit:
            return ""
        every = len(self.unfit) == len(self.states)
        return fetch_command(self.folder, [] if every else [s.role.name for s in self.unfit])

    def _spans(self, parts: Iterable[Part]) -> tuple[Span, ...]:
        found = {path for state in self.states for path in set(state.found) - set(state.damaged)}
        spans: list[list[float]] = []
        for part in sorted((p for p in parts if p.path in found), key=lambda p: p.start):
            if spans and part.start <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], part.stop)
            else:
                spans.append([part.start, part.stop])
        return tuple((float(air_to_vacuum(a)), float(air_to_vacuum(b))) for a, b in spans)


def _state(role: Role, found: Mapping[str, Path], check: bool) -> RoleState:
    mine = {file.path: found[file.path] for file in role.files if file.path in found}
    missing = tuple(file.path for file in role.files if file.path not in found)
    faults = {f.path: _fault(mine[f.path], f, check) for f in role.files if f.path in mine}
    return RoleState(role, mine, missing, {path: why for path, why in faults.items() if why})


def _fault(path: Path, file: InputFile, check: bool) -> str:
    """What is wrong with a file, or an empty string."""
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if size != file.size:
        return f"has {size} bytes, not {file.size}: cut off, or another version"
    if check and not is_whole(path, file):
        return "differs from the registered checksum (SHA-256)"
    return ""


def compilers() -> dict[str, str]:
    """The compilers ``C`` and ``C++`` that this machine has, by the command that is found.

    $CC and $CXX come first, then the usual names.
    """
    names = {"C": ("CC", "cc", "gcc", "clang"), "C++": ("CXX", "c++", "g++", "clang++")}
    found = {}
    for language, (variable, *usual) in names.items():
        own = shlex.split(os.environ.get(variable, ""))[:1]
        if command := next((name for name in own or usual if shutil.which(name)), ""):
            found[language] = command
    return found
