"""`starnet plot`: figures of a label table, of a training run, or of spectra and their cycle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli._app import ConfigOption, app, console, save_config, show, words
from starnet.cli._report import write_comparison
from starnet.errors import LabelError, ModelError, ReadError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starnet.dataset import LabelTable
    from starnet.inference import Prediction
    from starnet.spectra import Labels


@app.command()
def plot(
    context: typer.Context,
    what: Annotated[
        Path,
        typer.Argument(
            help="A label table or the folder of a training run; with --cycle a spectrum, a folder "
            "of spectra, or a list of them."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    reference: Annotated[
        Path | None, typer.Option(help="Table with labels to compare with.")
    ] = None,
    key: Annotated[str, typer.Option(help="Column of the reference that names the star.")] = "star",
    names: Annotated[str, typer.Option("--names", help="Labels, comma-separated.")] = "",
    cycle: Annotated[
        bool, typer.Option(help="Draw spectra with what is emulated from their labels.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="Model for --cycle, by name or folder. Default: the right one.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Draw a training curve, a Kiel diagram, predictions against references, or the cycle."""
    if cycle:
        _draw_cycles(what, model, out)
        save_config(context, out / "config.yaml")
        return
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


def _draw_cycles(what: Path, model: str, out: Path) -> None:
    """A figure for each spectrum: observed, emulated from its predicted labels, and residual."""
    from starnet import plots
    from starnet.inference import load_all, load_predictor
    from starnet.surveys import find, read_many

    predictor = load_predictor(model, adapts=True) if model else load_all()
    for spectra in read_many(find(what)):
        chosen, prepared = predictor.assign(spectra)
        prediction = chosen.predict(prepared)
        seen = chosen.cycle(prediction.labels, prepared, keep=True)
        if seen is None:
            raise ModelError(
                f"The model {chosen.model.name!r} names no emulator of these spectra in its card: "
                "there is nothing to hold against them. Take a model of the package."
            )
        for i, name in enumerate(prepared.ids):
            figure = plots.cycle_panels(
                seen.grid.wavelength,
                *(part[i] for part in (seen.flux, seen.model, seen.error, seen.used)),  # type: ignore[index]
                chips=seen.grid.chips,
                title=_cycle_title(name, prediction, i),
            )
            console.print(f"wrote {plots.save(figure, out / f'cycle-{name}.png')}")


def _cycle_title(name: str, prediction: Prediction, i: int) -> str:
    """One line: labels, chi2 and flags."""
    from starnet.inference import flag_words

    labels = prediction.labels
    main = (f"{n} {labels.column(n)[i]:.4g}" for n in ("teff", "logg", "fe_h"))
    chi2 = prediction.chi2[i] if prediction.chi2 is not None else float("nan")
    flags = 0
    for flag in prediction.flags[i]:
        flags |= int(flag)
    return f"{name}: {', '.join(main)}, chi2 {chi2:.2f}, flags: {flag_words(flags) or 'none'}"


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
