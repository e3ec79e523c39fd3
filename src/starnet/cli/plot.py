"""`starnet plot`: figures of a label table or of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli._app import ConfigOption, app, console, save_config, show, words
from starnet.cli._report import write_comparison
from starnet.errors import LabelError, ReadError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starnet.dataset import LabelTable
    from starnet.spectra import Labels


@app.command()
def plot(
    context: typer.Context,
    what: Annotated[Path, typer.Argument(help="A label table, or the folder of a training run.")],
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    reference: Annotated[
        Path | None, typer.Option(help="Table with labels to compare with.")
    ] = None,
    key: Annotated[str, typer.Option(help="Column of the reference that names the star.")] = "star",
    names: Annotated[str, typer.Option("--names", help="Labels, comma-separated.")] = "",
    config: ConfigOption = None,
) -> None:
    """Draw a training curve, a Kiel diagram, or predictions against references."""
    from starnet import plots
    from starnet.catalog import read_table
    from starnet.spectra import Labels

    if what.is_dir():
        curves = sorted(what.glob("history-*.ecsv"))
        if not curves:
            raise ReadError(f"{what} is no training run: it has no history-00.ecsv.")
        figure = plots.training_curve(*(read_table(curve) for curve in curves))
        console.print(f"wrote {plots.save(figure, out / 'training_curve.png')}")
        return
    if not what.is_file():
        raise ReadError(f"There is no {what}. Give a label table or the folder of a training run.")
    table = read_table(what)
    labels = Labels.from_table(table, words(names) or None)
    if reference is not None:
        from starnet.dataset import LabelTable

        matched = _reference(LabelTable.read(reference, key=key), table, labels.names)
        show(write_comparison(labels, matched, out), title="predicted minus reference")
    if {"teff", "logg"} <= set(labels.names):
        plots.save(plots.kiel((what.name, labels)), out / "kiel_predicted.png")
    elif reference is None:
        raise LabelError(
            "A label table without teff and logg needs --reference: there is nothing else to draw."
        )
    save_config(context, out / "config.yaml")
    console.print(f"figures: {out}")


def _reference(reference: LabelTable, table: QTable, names: tuple[str, ...]) -> Labels:
    """Reference labels of each row, by its star, its id or its file; NaN where there are none."""
    import numpy as np

    from starnet.spectra import Labels

    shared = [name for name in names if name in reference.labels.names]
    if not shared:
        raise LabelError(
            f"{reference.source} has none of the labels {', '.join(names)}; it has "
            f"{', '.join(reference.labels.names)}."
        )
    values = np.full((len(table), len(shared)), np.nan)
    known = reference.labels.select(shared).values
    columns = [np.asarray(table[name]) for name in ("star", "id", "file") if name in table.colnames]
    for i in range(len(table)):
        rows = (reference.row_of(str(column[i])) for column in columns)
        found = next((row for row in rows if row >= 0), None)
        if found is not None:
            values[i] = known[found]
    if not np.isfinite(values).any():
        raise LabelError(
            f"No star of the label table is in {reference.source}. Is --key the right column?"
        )
    return Labels(tuple(shared), values)
