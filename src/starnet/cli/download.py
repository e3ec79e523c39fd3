"""`starnet download`: spectra and catalogues from the public archives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starnet.cli._app import app, console
from starnet.errors import DownloadError

group = typer.Typer(help="Fetch spectra and catalogues from public archives.", no_args_is_help=True)
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


def _run(items, out: Path, workers: int, base_url: str) -> None:
    from starnet.archives import download
    from starnet.catalog import write_table

    report = download(items, out, workers=workers, base_url=base_url or None)
    console.print(str(report), markup=False, soft_wrap=True)
    if report.failed:
        table = write_table(report.to_table(), out / "download.csv")
        raise DownloadError(
            f"{len(report.failed)} of {len(items)} files could not be fetched; {table} has every "
            "reason. The same command tries them again and continues those that were cut."
        )
