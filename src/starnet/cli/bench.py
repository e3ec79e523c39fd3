"""`starnet bench`: methods against each other, on the same stars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli._app import ConfigOption, app, console, errors, progress, save_config, show, words
from starnet.errors import TrainingError

if TYPE_CHECKING:
    from starnet.evaluate.bench import BenchRun


@app.command()
def bench(
    context: typer.Context,
    suite: Annotated[
        str,
        typer.Argument(
            help="A suite of the package (miles, apogee-mock, architectures, small-training-set, "
            "...) or a YAML file."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="A data set, or a folder of spectra with their label table."),
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option(help="Data set to learn from, where the suite would make one."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Label table of --data, if it is not in the folder.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results. Default: bench-SUITE.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The suite's short form: fewer folds, sizes or epochs.")
    ] = False,
    methods: Annotated[
        str, typer.Option(help="Some of the suite's methods, comma-separated. Default: all.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Another split, noise and choice of stars.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Methods at a time; they share the cores.")
    ] = 1,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again what has failed before.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute everything again; data sets are kept.")
    ] = False,
    here: Annotated[
        bool, typer.Option("--here", help="Compute nothing: a report of what is there already.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Hold methods against each other: same stars, same split, same metrics.

    Each method, fold, number of stars and seed is computed in a process of its own, and its result
    is kept: a bench that was interrupted goes on when the same command is given again, and a
    method that fails does not stop the others. Writes report.html with all figures, and tables as
    CSV.
    """
    from starnet.evaluate.bench import load_suite, run_bench, write_bench
    from starnet.evaluate.bench.report import summary

    chosen = load_suite(suite, quick=quick)
    if methods:
        chosen = chosen.with_methods(words(methods))
    if seed is not None:
        chosen = chosen.with_seed(seed)
    folder = out or Path(f"bench-{chosen.name}")
    with progress(chosen.name) as bar:
        run = run_bench(
            chosen, folder, data=data, training=training, table=table, workers=workers,
            retry=retry, fresh=fresh, here=here, tick=lambda done, total, what: bar(done, total),
            report=lambda text: errors.print(text, soft_wrap=True, markup=False, highlight=False),
        )  # fmt: skip
    _tell(run)
    save_config(context, folder / "config.yaml")
    tables = write_bench(run, folder)
    show(summary(run, tables), title=f"{chosen.name}: robust scatter")
    console.print(f"{folder / 'report.html'}; tables: {folder}/*.csv", soft_wrap=True)


def _tell(run: BenchRun) -> None:
    """Say what is missing; refuse if everything is."""
    for note in run.notes:
        console.print(note, soft_wrap=True, markup=False, highlight=False)
    for outcome in run.failed:
        told = f"{outcome.cell.title} {outcome.status}: {outcome.reason}"
        errors.print(told, soft_wrap=True, markup=False, highlight=False)
    if not run.done:
        reason = "all were left out of the suite."
        if run.failed:
            reason = "all of them failed, see above."
        elif not run.outcomes and not run.left_out:
            reason = "nothing of it was computed yet. Leave --here out."
        raise TrainingError(f"No method gave a result: {reason}")
