"""`starnet fit`: labels by fitting an emulator's spectra."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from starnet.cli._app import ConfigOption, app, console, progress, save_config, words
from starnet.cli._reading import (
    ErrorFloorOption,
    FrameOption,
    MaskBitsOption,
    MediumOption,
    SurveyOption,
    VisitsOption,
    read_options,
)
from starnet.errors import ConfigError, OutputError, ReadError, StarNetError

LOST = 4  # LabelFlag.FAILED, without its imports

if TYPE_CHECKING:
    from astropy.table import QTable

    from starnet.spectra import Spectra
    from starnet.surveys import ReadOptions
    from starnet.synthesis.emulator import Emulator


@app.command()
def fit(
    context: typer.Context,
    spectra: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or text files of them.")
    ],
    out: Annotated[Path, typer.Option(help="Table: .fits, .ecsv, .parquet or .csv.")] = Path(
        "fits.fits"
    ),
    emulator: Annotated[
        str, typer.Option(help="An emulator of the package by name, or a folder.")
    ] = "apogee",
    free: Annotated[
        str, typer.Option(help="Labels to fit, comma-separated. Default: all that are not fixed.")
    ] = "",
    fix: Annotated[
        str,
        typer.Option(help="Values to hold, such as logg=4.4,vmic=1.2; also rv and broadening."),
    ] = "",
    starts: Annotated[int, typer.Option(min=1, help="Starts of each star; the best is kept.")] = 3,
    continuum_order: Annotated[
        int,
        typer.Option(
            min=-1, max=30, help="Degree of each chip's continuum; -1: spectra are normalised."
        ),
    ] = 4,
    rv: Annotated[bool, typer.Option(help="Fit a residual velocity.")] = True,
    broadening: Annotated[
        bool, typer.Option(help="Fit a Gaussian beyond the line spread (vmac, vsini).")
    ] = True,
    survey: SurveyOption = "",
    visits: VisitsOption = False,
    mask_bits: MaskBitsOption = "",
    error_floor: ErrorFloorOption = 0.0,
    medium: MediumOption = "",
    frame: FrameOption = "",
    part_size: Annotated[int, typer.Option(min=1, help="Files between two savings.")] = 200,
    config: ConfigOption = None,
) -> None:
    """Labels of every spectrum by least squares, with errors, chi-square and flags.

    Needs no training: an emulator's spectra are fitted to each spectrum, with a velocity, a width
    and a continuum. Observed spectra are first shifted to rest by their own velocities. A file
    that cannot be fitted is flagged, says why in the column `message`, and never stops the
    others. Run the same command again after an interruption and it goes on where it was.
    """
    from starnet.catalog import check_writable, write_table
    from starnet.catalog.run import join_tables
    from starnet.surveys import find
    from starnet.synthesis.emulator import Emulator

    check_writable(out)
    settings: dict[str, Any] = {
        "free": words(free) or None,
        "fixed": _values(fix),
        "starts": starts,
        "continuum_order": None if continuum_order < 0 else continuum_order,
        "rv": rv,
        "broadening": broadening,
    }
    options = read_options(visits, mask_bits, error_floor, medium, frame)
    model = Emulator.load(emulator)
    _check(model, settings)
    files = [path for path in find(spectra) if path.resolve() != out.resolve()]
    if not any(path.exists() for path in files):
        raise ReadError(f"None of the {len(files)} file(s) exists, such as {files[0]}.")
    job = Job(model, settings, survey or None, options)
    with progress("fitting") as tick:
        tables = list(_parts(job, files, out, part_size, tick))
    table = join_tables(tables)
    write_table(table, out)
    shutil.rmtree(_folder(out), ignore_errors=True)
    save_config(context, out.with_name(f"{out.name}.config.yaml"))
    _summary(table, out, len(files))


@dataclass(frozen=True)
class Job:
    """What is done to every file."""

    emulator: Emulator
    settings: dict[str, Any]
    survey: str | None
    options: ReadOptions

    def block(self, files: Sequence[Path]) -> QTable:
        """The rows of some files, in their order."""
        from starnet.catalog.run import join_tables

        run: list[tuple[Path, Spectra]] = []
        tables: list[QTable] = []
        for path in files:
            try:
                spectra = self.read(path)
            except StarNetError as error:
                tables += [*self.rows(run), self.lost(path, error)]
                run = []
                continue
            except Exception as error:  # one bad file must not stop the others
                reason = ReadError(f"{path.name} cannot be read: {type(error).__name__}: {error}.")
                tables += [*self.rows(run), self.lost(path, reason)]
                run = []
                continue
            if run and not _alike(run[-1][1], spectra):
                tables += self.rows(run)
                run = []
            run.append((path, spectra))
        return join_tables([*tables, *self.rows(run)])

    def read(self, path: Path) -> Spectra:
        """The spectra of a file, at rest."""
        from starnet.preprocess import ToRest
        from starnet.surveys import read_file

        spectra = read_file(path, survey=self.survey, options=self.options)
        return ToRest()(spectra) if spectra.frame == "observed" else spectra

    def rows(self, run: list[tuple[Path, Spectra]]) -> list[QTable]:
        """The rows of files that share a grid; one that does not fit the emulator stands alone."""
        from starnet.inference.fit import fit_spectra
        from starnet.spectra import concatenate

        if not run:
            return []
        try:
            together = concatenate([spectra for _, spectra in run])
            table = fit_spectra(self.emulator, together, **self.settings).to_table()
        except (StarNetError, ValueError) as error:  # also metadata of different kinds
            if len(run) == 1:
                return [self.lost(run[0][0], error)]
            return [table for item in run for table in self.rows([item])]
        lost = (np.asarray(table["flag"]) & LOST) > 0
        table["message"] = ["too few usable pixels, or no positive flux" * bool(x) for x in lost]
        return [table]

    def lost(self, path: Path, error: Exception) -> QTable:
        """The row of a file that was not fitted."""
        from starnet.inference.fit.result import not_fitted

        name = path.name.partition(".fits")[0] or path.name
        about = {"id": name, "star": "", "file": str(path), "survey": "", "kind": ""}
        about |= {"message": str(error)}
        return not_fitted(self.emulator.labels, about).to_table()


def _parts(job: Job, files: Sequence[Path], out: Path, size: int, tick: Any) -> Iterator[QTable]:
    """Tables of blocks of files; those of an interrupted run are taken from disk."""
    from starnet.catalog import read_table, write_table

    folder = _folder(out)
    _keep_if_same(folder, _signature(job, files, size))
    for first in range(0, len(files), size):
        part = folder / f"{first:08d}.parquet"
        if not part.is_file():
            write_table(job.block(files[first : first + size]), part)
        tick(min(first + size, len(files)), len(files))
        yield read_table(part)


def _folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def _signature(job: Job, files: Sequence[Path], size: int) -> str:
    """What the parts depend on."""
    about = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    told = [about, job.settings, job.emulator.describe(), job.survey, repr(job.options), size]
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()


def _keep_if_same(folder: Path, signature: str) -> None:
    note = folder / "signature"
    if note.is_file() and note.read_text() == signature:
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        note.write_text(signature)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _alike(a: Spectra, b: Spectra) -> bool:
    return a.flux_unit == b.flux_unit and a.grid.matches(b.grid, tolerance=1e-3)


def _values(text: str) -> dict[str, float]:
    """Numbers by name of ``name=value,name=value``."""
    out = {}
    for word in words(text):
        name, _, value = word.partition("=")
        try:
            out[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(
                f"--fix takes name=value, comma-separated, such as logg=4.4; received {word!r}."
            ) from None
    return out


def _check(emulator: Emulator, settings: dict[str, Any]) -> None:
    """Wrong settings stop the command, not every file."""
    from starnet.inference.fit.parameters import choose

    given = {name: settings[name] for name in ("free", "fixed", "rv", "broadening")}
    choose(emulator, 1, **given, max_rv=30.0, max_broadening=60.0, priors=None)


def _summary(table: QTable, out: Path, n_files: int) -> None:
    """Failures by name, and one line; `ReadError` if nothing was fitted."""
    flags = np.asarray(table["flag"])
    lost = (flags & LOST) > 0
    for at in np.flatnonzero(lost)[:10]:
        row: Any = table[int(at)]
        name = Path(str(row["file"])).name if "file" in table.colnames else row["id"]
        text = f"no fit for {name}: {row['message']}"
        console.print(text, soft_wrap=True, markup=False, highlight=False)
    flagged = int(np.count_nonzero(flags))
    text = (
        f"{out}: {len(table)} spectra of {n_files} files, {int(lost.sum())} without a fit, "
        f"{flagged} flagged"
    )
    if lost.all():
        raise ReadError(f"{text}. No spectrum could be fitted: see the column message.")
    console.print(text, soft_wrap=True)
