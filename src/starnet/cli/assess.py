"""`starnet assess`: whether quoted errors can be trusted, as a report and a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from starnet.cli._app import ConfigOption, app, console, save_config, show, words
from starnet.errors import ConfigError

if TYPE_CHECKING:
    from starnet.evaluate import Assessment, RepeatAssessment
    from starnet.evaluate.tables import PredictionTable

SHOWN = {
    "truth": {"label": "label", "n": "n", "bias": "bias", "scatter": "scatter", "quoted": "error",
              "coverage_68": "in 68%", "coverage_95": "in 95%", "factor": "factor"},
    "repeats": {"label": "label", "n_stars": "stars", "n_pairs": "pairs", "scatter": "scatter",
                "quoted": "error", "ratio": "ratio", "ratio_err": "±"},
}  # fmt: skip
"""Columns of the table that the terminal shows, and how they are called there."""


@app.command()
def assess(
    context: typer.Context,
    predictions: Annotated[
        Path,
        typer.Argument(
            help="Label table of `starnet predict` or `starnet fit`: .fits, .ecsv, .parquet, .csv."
        ),
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Table of true or reference labels (teff, logg, ...), matched by star, id or "
            "file. Columns LABEL_err, where there are any, are errors of the references."
        ),
    ] = None,
    repeats: Annotated[
        bool,
        typer.Option(
            "--repeats",
            help="Instead of a truth: hold visits of one star against each other. Rows that share "
            "`star` are visits of one.",
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="The report, one HTML file.")] = Path("assess.html"),
    table: Annotated[
        Path | None,
        typer.Option(
            help="Table of all numbers: .ecsv, .csv, .fits or .parquet. Default: beside the report."
        ),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Labels, comma-separated. Default: all that have errors.")
    ] = "",
    key: Annotated[
        str, typer.Option(help="Column of the truth that names the star. Default: found.")
    ] = "",
    flags: Annotated[
        Literal["drop", "keep"],
        typer.Option(help="What is flagged is left out (and counted), or kept."),
    ] = "drop",
    min_snr: Annotated[
        float, typer.Option(min=0.0, help="Leave out spectra of lower signal to noise.")
    ] = 0.0,
    strata: Annotated[
        Literal["predicted", "true"],
        typer.Option(
            help="With --truth: sort stars by predicted labels, as a user of a catalogue can, or "
            "by true ones. By S/N in either case."
        ),
    ] = "predicted",
    least: Annotated[
        int, typer.Option(min=5, help="Spectra (or pairs) that a stratum needs.")
    ] = 20,
    emulator: Annotated[
        str,
        typer.Option(
            help="Also hold the scatter against the Cramér-Rao limit by this emulator: apogee, "
            "optical, or a folder."
        ),
    ] = "",
    instrument: Annotated[
        str,
        typer.Option(
            help="With --emulator: instrument whose pixels the spectra have. Default: that of the "
            "survey in the table."
        ),
    ] = "",
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the figures as PNG files, too.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Find out whether the quoted errors can be trusted.

    With --truth: coverage at 50, 68, 90 and 95 %, PIT and rank histograms, z-scores, CRPS and
    sharpness, for each label and by S/N, Teff and [Fe/H]. With --repeats, which needs no truth:
    scatter of repeat visits over their quoted errors. Errors are taken as normal ones. Writes one
    HTML report, which needs nothing else, and a table of its numbers.
    """
    from starnet.catalog import check_writable, write_table
    from starnet.evaluate.figures import assessment_figures
    from starnet.evaluate.report import write_report
    from starnet.evaluate.tables import PredictionTable
    from starnet.plots import save

    if (truth is None) == (not repeats):
        raise ConfigError(
            "An assessment needs something to hold the predictions against: --truth TABLE with "
            "known labels, or --repeats for visits of the same stars. Give one of the two."
        )
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"The report is a page: --out must end in .html; received {out.name!r}.")
    numbers = table or out.with_suffix(".ecsv")
    given = {path.resolve() for path in (predictions, truth) if path is not None}
    if taken := [path for path in (out, numbers) if path.resolve() in given]:
        raise ConfigError(
            f"{taken[0]} would be written over what is to be assessed. Choose another --out, or "
            "another --table for the numbers."
        )
    check_writable(numbers)
    read = PredictionTable.read(predictions, words(labels))
    usable = read.usable(flagged=flags == "keep", min_snr=min_snr)
    if truth is not None:
        kind, result = "truth", _against_truth(
            usable, truth, key, strata, least, emulator, instrument
        )  # fmt: skip
    else:
        kind, result = "repeats", _against_repeats(usable, least, emulator, instrument)
    found = result.table()
    write_table(found, numbers)
    drawn = assessment_figures(result)
    write_report(result, out, figures=drawn)
    for name, figure in drawn.items() if figures else ():
        save(figure, Path(figures or ".") / f"{name}.png")
    save_config(context, out.with_name(f"{out.name}.config.yaml"))
    _show(found, kind)
    left = [f"{n} {what}" for what, n in usable.about.items() if n and what != "spectra"]
    if left:
        console.print(f"left out: {', '.join(left)}", soft_wrap=True)
    console.print(f"{out}; numbers by stratum: {numbers}", soft_wrap=True)


def _show(table: Any, kind: str) -> None:
    """The numbers of all spectra together, short enough for a terminal."""
    from astropy.table import Table

    some, out = table[table["by"] == "all"], Table()
    for name, title in SHOWN[kind].items():
        column = some[name]
        out[title] = [f"{v:.3g}" for v in column] if column.dtype.kind == "f" else column
    show(out)


def _against_truth(
    table: PredictionTable,
    truth: Path,
    key: str,
    strata: Literal["predicted", "true"],
    least: int,
    emulator: str,
    instrument: str,
) -> Assessment:
    import numpy as np

    from starnet.evaluate import assess_truth
    from starnet.evaluate.strata import LEAST
    from starnet.evaluate.tables import match_truth

    reference, column = match_truth(table, truth, key=key)
    known = np.isfinite(reference.values).any(axis=1)
    some, reference = table[np.flatnonzero(known)], reference[np.flatnonzero(known)]
    counts = {**table.about, "without a truth": int(np.sum(~known)), "assessed": len(some)}
    limit, about = _limit(some, emulator, instrument)
    about |= {
        "counts": counts,
        "source": f"Predictions: {table.source}.",
        "truth": f"Truth: {truth}, by its column {column}.",
        "model": _models(table),
    }
    return assess_truth(
        some.labels,
        reference,
        snr=some.snr,
        by=strata,
        limit=limit,
        least=least or LEAST,
        about=about,
    )


def _against_repeats(
    table: PredictionTable, least: int, emulator: str, instrument: str
) -> RepeatAssessment:
    from starnet.evaluate import assess_repeats
    from starnet.evaluate.strata import LEAST_PAIRS

    some, lacking = table.with_noise_errors()
    limit, about = _limit(some, emulator, instrument)
    about |= {
        "counts": dict(table.about),
        "without noise errors": lacking,
        "source": f"Predictions: {table.source}.",
        "model": _models(table),
    }
    return assess_repeats(
        some.labels, some.star, snr=some.snr, limit=limit, least=least or LEAST_PAIRS, about=about
    )


def _limit(table: PredictionTable, emulator: str, instrument: str) -> tuple[Any, dict[str, Any]]:
    if not emulator:
        if instrument:
            raise ConfigError("--instrument belongs to the limit: give --emulator, too.")
        return None, {}
    from starnet.evaluate.table_limit import table_limit

    with console.status("Cramér-Rao limits"):
        limit, told = table_limit(table, emulator, instrument=instrument)
    return limit, {"limit": told}


def _models(table: PredictionTable) -> str:
    names = sorted({str(n) for n in table.texts.get("model", ()) if str(n)})
    return f"Model: {', '.join(names)}." if names else ""
