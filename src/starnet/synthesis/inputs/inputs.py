"""`PhysicsInputs`: line lists, model atmospheres and tables by what they are for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starnet.archives.physics import VARIABLE, choose_roles, physics_folder, physics_roles
from starnet.errors import ConfigError, DataError
from starnet.synthesis.inputs.coverage import Coverage, fetch_command
from starnet.synthesis.inputs.find import find_files

if TYPE_CHECKING:
    from starnet.synthesis.atmospheres import AtmosphereEmulator, AtmosphereGrid
    from starnet.synthesis.lines import LineList

ATMOSPHERES = {"cool": "atmosnet", "giants": "marcs_giants"}
"""Kinds of model atmospheres and the role that has them."""


@dataclass(frozen=True)
class PhysicsInputs:
    """The inputs in one folder. Make it with `locate`.

    Nothing is read before it is asked for. A file is known by the registry in
    ``starnet.archives.physics``, in its place or elsewhere below the folder.
    """

    folder: Path

    @classmethod
    def locate(cls, folder: str | os.PathLike[str] | None = None) -> PhysicsInputs:
        """The inputs in `folder`, else in $STARNET_PHYSICS, else in the user's data folder.

        The user's data folder (see `starnet.archives.physics_folder`) may be absent: everything
        is missing then.

        Raises
        ------
        ConfigError
            If a folder that was named is none.
        """
        place = physics_folder(None if folder is None else Path(folder))
        named = "the folder given" if folder is not None else f"${VARIABLE}"
        if (folder is not None or os.environ.get(VARIABLE)) and not place.is_dir():
            raise ConfigError(
                f"The physics inputs need an existing folder; {named} is {place}, which is none. "
                f"Correct it, or fill it with `{fetch_command(place)}`."
            )
        return cls(place)

    @cached_property
    def _found(self) -> Mapping[str, Path]:
        return find_files(self.folder, physics_roles().values())

    def find(self, name: str) -> Path | None:
        """The file of a registered path (``lines/linemake/goodgf``), or None."""
        return self._found.get(name)

    def file(self, name: str) -> Path:
        """The file of a registered path.

        Raises
        ------
        ConfigError
            If the registry has no such path.
        DataError
            If the file is missing or empty; the message says what it is for and how to get it.
        """
        roles = physics_roles().items()
        owner = next((n for n, r in roles if any(f.path == name for f in r.files)), None)
        if owner is None:
            raise ConfigError(f"The physics inputs have no file {name!r} in their registry.")
        place = self.find(name)
        if place is None or place.stat().st_size == 0:
            raise self._lacks(owner, [name], "missing" if place is None else "empty")
        return place

    def path(self, role: str) -> Path:
        """The file of a role, or the folder where all its files are.

        Raises
        ------
        ConfigError
            If there is no such role.
        DataError
            If a file is missing or empty, or the files lie in several folders.
        """
        (known,) = choose_roles([role])
        if lost := [file.path for file in known.files if file.path not in self._found]:
            raise self._lacks(role, lost, "missing")
        places = [self.file(file.path) for file in known.files]
        if len(places) == 1:
            return places[0]
        folders = {place.parent for place in places}
        if len(folders) > 1:
            raise DataError(
                f"The files of the role {role} must lie in one folder; they lie in "
                f"{', '.join(sorted(map(str, folders)))}. Put them into {self.folder}/"
                f"{known.folder}."
            )
        return folders.pop()

    def _lacks(self, role: str, names: list[str], state: str) -> DataError:
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        are = "is" if len(names) == 1 else "are"
        return DataError(
            f"{some} {are} {state} in {self.folder} and {are} needed: "
            f"{physics_roles()[role].what}. Get what is missing with "
            f"`{fetch_command(self.folder, [role])}`, or name the folder that has it with "
            f"{VARIABLE}."
        )

    def lines(self, start: float, stop: float, **options: Any) -> LineList:
        """The default line list of a wavelength range.

        Atoms of linemake (of VALD3 in 10000-12000 A), where laboratory values (goodgf), then
        those with hyperfine structure (goodgfhfs) replace theoretical ones; CH, NH, OH, MgH and
        CN below 10010 A; the molecules of APOGEE DR17 in 15000-17500 A. What is not there says
        `known_gaps`.

        Parameters
        ----------
        start, stop : float
            Vacuum Angstrom, from 2981 to 30007.
        hfs : bool, default True
            Use the lines with hyperfine structure.
        abo : bool, default True
            Use Barklem's van der Waals widths where the table is there and has the line.
        galah : bool, default False
            Add TiO, C2, ZrO, SiH, CaH, VO and FeH of the GALAH list in the bands of HERMES
            (needs h5py); many lines, which matter below about 4500 K.
        isotopes : mapping or None
            Isotope fractions, as in `starnet.synthesis.lines.read_lines`.

        Raises
        ------
        ConfigError
            If the range is empty or has no lines.
        DataError
            If a file that the range needs is missing (the message says how to get it), or damaged.
        """
        from starnet.synthesis.inputs.lines import default_lines

        return default_lines(self, start, stop, **options)

    def atmospheres(self, kind: str = "cool") -> AtmosphereEmulator | AtmosphereGrid:
        """Model atmospheres: ``cool`` (emulator, 2500-7750 K) or ``giants`` (grid of 525 MARCS).

        Raises
        ------
        ConfigError
            If there is no such kind.
        DataError
            If files are missing.
        ModelError, ReadError
            If they are damaged.
        """
        if kind not in ATMOSPHERES:
            raise ConfigError(
                f"Atmospheres of the inputs are {' or '.join(ATMOSPHERES)}; received {kind!r}. "
                "Open another grid with AtmosphereGrid.open."
            )
        place = self.path(ATMOSPHERES[kind])
        from starnet.synthesis.atmospheres import AtmosphereEmulator, AtmosphereGrid

        if kind == "cool":
            return AtmosphereEmulator.open(place, "cool")
        return AtmosphereGrid.open(place)

    def coverage(self, *, check: bool = False) -> Coverage:
        """What is there, what it covers and what is missing; `check` compares checksums."""
        return Coverage.of(self.folder, check=check)
