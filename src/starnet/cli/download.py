"""`starnet download`: spectra, catalogues and physics inputs from public archives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli._app import app, console
from starnet.errors import ConfigError, DownloadError

if TYPE_CHECKING:
    from starnet.archives import DownloadReport
    from starnet.archives.physics import Role

group = typer.Typer(
    help="Fetch spectra, catalogues and physics inputs from public archives.", no_args_is_help=True
)
app.add_typer(group, name="download")

OutOption = Annotated[Path, typer.Option("--out", help="Folder for the files.")]
WorkersOption = Annotated[int, typer.Option(min=1, max=16, help="Files at once.")]
BaseOption = Annotated[str, typer.Option(help="A mirror with the archive's layout.")]


@group.command()
def catalogue(
    product: Annotated[str, typer.Argument(help="allStar or allVisit.")] = "allStar",
    release: Annotated[str, typer.Option(help="APOGEE data release.")] = "dr17",
    out: OutOption = Path("downloads"),
    base_url: BaseOption = "",
) -> None:
    """Fetch an APOGEE summary catalogue."""
    from starnet.archives import catalogue_items

    _run(catalogue_items(product, release), out, 1, base_url)


@group.command()
def apogee(
    ids: Annotated[Path, typer.Argument(help="Text, CSV or FITS: apogee_id, telescope and field.")],
    product: Annotated[str, typer.Option(help="apStar, aspcapStar or apVisit.")] = "apStar",
    release: Annotated[str, typer.Option(help="Data release.")] = "dr17",
    catalog: Annotated[
        Path | None, typer.Option(help="allStar file, to look up telescope and field.")
    ] = None,
    out: OutOption = Path("downloads"),
    workers: WorkersOption = 4,
    base_url: BaseOption = "",
) -> None:
    """Fetch APOGEE spectra of the stars in a list."""
    from starnet.archives import apogee_items

    _run(apogee_items(ids, product, release, catalogue=catalog), out, workers, base_url)


@group.command()
def sdss(
    ids: Annotated[Path, typer.Argument(help="Text, CSV or FITS: plate, mjd, fiberid.")],
    kind: Annotated[str, typer.Option(help="lite or full.")] = "lite",
    release: Annotated[str, typer.Option(help="Data release.")] = "dr17",
    run2d: Annotated[str, typer.Option(help="Reduction, such as 26, 103, 104 or v5_13_2.")] = "",
    out: OutOption = Path("downloads"),
    workers: WorkersOption = 4,
    base_url: BaseOption = "",
) -> None:
    """Fetch SDSS, SEGUE or BOSS optical spectra by plate, date and fibre."""
    from starnet.archives import sdss_items

    items = sdss_items(ids, kind, release, run2d=run2d or None)
    _run(items, out, workers, base_url)


@group.command()
def miles(out: OutOption = Path("miles"), base_url: BaseOption = "") -> None:
    """Fetch the MILES stellar library with its labels."""
    from starnet.archives import fetch_miles

    console.print(f"MILES: {fetch_miles(out, base_url=base_url or None)}")


@group.command()
def physics(
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for the files. Default: $STARNET_PHYSICS, or your own."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="Only this role (again for more): tables, atoms, ... Default: all."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before fetching.")] = False,
    workers: WorkersOption = 4,
    base_url: BaseOption = "",
) -> None:
    """Fetch line lists, model atmospheres and tables for the synthesis, and verify them.

    They belong to others: where they come from and under which licence is shown first. Files that
    are here whole are left alone.
    """
    from starnet.archives.physics import choose_roles, fetch_physics, is_whole, physics_folder

    folder = physics_folder(to)
    chosen = choose_roles(role or ())
    files = [file for one in chosen for file in one.files]
    wanted = [file for file in files if not is_whole(folder / file.path, file)]
    _show_sources(chosen)
    if not wanted:
        console.print(f"All {len(files)} files are in {folder}, and whole.", soft_wrap=True)
        return
    size = sum(file.size for file in wanted) / 1e6
    here = sum((folder / file.path).exists() for file in wanted)
    replaced = f" {here} of them are there and differ; they would be replaced." if here else ""
    if not yes:
        _ask(f"Fetch {len(wanted)} files ({size:.1f} MB) into {folder}?{replaced}")
    report = fetch_physics(folder, role or (), workers=workers, base_url=base_url or None)
    _finish(report, folder)


def _show_sources(roles: tuple[Role, ...]) -> None:
    from rich.table import Table

    table = Table(title="public homes of the files, on https://github.com", title_justify="left")
    table.add_column("repository", no_wrap=True)
    for name in ("licence", "roles", "to cite"):
        table.add_column(name)
    sources = dict.fromkeys(file.source for role in roles for file in role.files)
    for source in sources:
        names = [role.name for role in roles if any(f.source == source for f in role.files)]
        table.add_row(source.repository, source.licence, ", ".join(names), source.cite)
    console.print(table)
    if any(source.licence == "none found" for source in sources):
        console.print(
            "Where no licence is found, the files are for your own use: do not pass them on.",
            soft_wrap=True,
        )


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is here to answer; add --yes.")
    typer.confirm(question, default=True, abort=True)


def _run(items, out: Path, workers: int, base_url: str) -> None:
    from starnet.archives import download

    _finish(download(items, out, workers=workers, base_url=base_url or None), out)


def _finish(report: DownloadReport, out: Path) -> None:
    from starnet.catalog import write_table

    console.print(str(report), markup=False, soft_wrap=True)
    if report.failed:
        table = write_table(report.to_table(), out / "download.csv")
        raise DownloadError(
            f"{len(report.failed)} of {len(report.outcomes)} files could not be fetched; {table} "
            "has every reason. The same command tries them again and continues those that were "
            "cut."
        )
