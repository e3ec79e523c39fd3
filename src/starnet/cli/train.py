"""`starnet train`: a data set to a model."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from starnet.cli._app import ConfigOption, app, console, progress, save_config, show, words
from starnet.cli._report import write_comparison
from starnet.errors import OutputError


@app.command()
def train(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="A data set, as `starnet dataset build` makes it.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe by name (`starnet info` lists them) or a YAML file.")
    ] = "starnet-2018",
    labels: Annotated[
        str, typer.Option(help="Labels to learn, comma-separated. Default: the recipe's, or all.")
    ] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Most passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Spectra in a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    copies: Annotated[int | None, typer.Option(min=1, help="Networks of each kind.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split, weights and order.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    name: Annotated[str, typer.Option(help="Name of the model. Default: that of OUT.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
    config: ConfigOption = None,
) -> None:
    """Train a model on a data set, and test it on stars that it has not seen.

    Beside the model folder OUT, the folder OUT.training gets the training curve, the split by
    star, predictions and figures for the test stars, the effective settings, and checkpoints:
    a run that was interrupted goes on when the same command is given again. Errors of the labels
    are measured on the stars kept for validation.
    """
    from starnet.artifact import check_model_output
    from starnet.catalog.calibrate import with_errors
    from starnet.dataset import open_dataset
    from starnet.training import load_recipe, train_model

    check_model_output(out, overwrite=overwrite)
    changes: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch_size, "lr": lr, "copies": copies, "seed": seed,
        "device": device, "labels": words(labels) or None,
    }  # fmt: skip
    changes = {key: value for key, value in changes.items() if value is not None}
    chosen = load_recipe(recipe).with_settings(**changes)
    dataset = open_dataset(data)
    work = _folder(out.with_name(f"{out.name}.training"))
    save_config(context, work / "config.yaml")
    chosen.save(work / "recipe.yaml")
    result = train_model(
        dataset,
        chosen,
        name=name or out.name,
        checkpoint_dir=work / "checkpoints",
        on_member=lambda i, n: console.print(f"network {i + 1} of {n}") if n > 1 else None,
    )
    with progress("errors") as tick:
        model, said = with_errors(result.model, dataset, result.rows[1], tick=tick)
    result = dataclasses.replace(result, model=model)
    result.model.save(out, overwrite=overwrite)
    console.print(said, soft_wrap=True)
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    report(result, dataset, work)
    console.print(f"model: {out}   curves, split, tests, figures: {work}", soft_wrap=True)


def say_parts(result: Any, dataset: Any) -> None:
    """Print how many spectra were for what, and how many for nothing."""
    counts = [len(rows) for rows in result.rows]
    unused = len(dataset) - sum(counts)
    console.print(
        f"spectra: {counts[0]} trained on, {counts[1]} to validate, {counts[2]} to test"
        + (f", {unused} without labels or outside the recipe's selection" if unused else "")
    )


def report(result: Any, dataset: Any, work: Path) -> None:
    """Write the split, the curves, and the comparison on test stars; print the latter."""
    from starnet import plots
    from starnet.catalog import label_rows, write_table
    from starnet.inference import Predictor
    from starnet.spectra import Labels

    write_table(result.split_table(dataset), work / "split.ecsv")
    for old in work.glob("history-*.ecsv"):
        old.unlink()
    tables = [history.to_table() for history in result.histories]
    for i, table in enumerate(tables):
        write_table(table, work / f"history-{i:02d}.ecsv")
    plots.save(plots.training_curve(*tables), work / "training_curve.png")
    say_parts(result, dataset)
    test = result.rows[2]
    if not len(test):
        console.print("No test stars in this split: nothing to compare with.")
        return
    with progress("test stars") as tick:
        predicted = label_rows(Predictor(result.model), dataset, test, tick=tick)
    reference = dataset.labels.select(result.model.labels)[test]
    write_table(predicted, work / "test.ecsv")
    labels = Labels.from_table(predicted, result.model.labels)
    table = write_comparison(labels, reference, work)
    show(table, title=f"{len(test)} test spectra, predicted minus reference")


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be made: {error.strerror}. Choose another place."
        ) from error
    return path
