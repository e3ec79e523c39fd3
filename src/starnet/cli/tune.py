"""`starnet tune`: the hyperparameters of a recipe searched on a data set."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from astropy.table import Table

from starnet.cli._app import ConfigOption, app, console, progress, save_config, show, words
from starnet.cli.train import report
from starnet.errors import ConfigError

TOP = 5
"""Trials and settings that are printed."""


@app.command()
def tune(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="A data set, as `starnet dataset build` makes it.")],
    recipe: Annotated[
        str, typer.Option(help="The recipe to start from: a name or a YAML file.")
    ] = "starnet-2018",
    trials: Annotated[int, typer.Option(min=1, help="Until the study has so many.")] = 60,
    study: Annotated[
        str, typer.Option(help="Journal file, SQLite file (.db) or a database's URL.")
    ] = "study.journal",
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the best model, trained anew. Default: search only."),
    ] = None,
    space: Annotated[str, typer.Option(help="A search space: a name or a YAML file.")] = "starnet",
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no trial after so many minutes.")
    ] = None,
    pruner: Annotated[
        str, typer.Option(help="Ends bad trials early: median, hyperband, halving or none.")
    ] = "median",
    folds: Annotated[
        int, typer.Option(min=1, help="Judge by so many folds instead of the validation stars.")
    ] = 1,
    labels: Annotated[
        str, typer.Option(help="Labels to learn, comma-separated. Default: the recipe's, or all.")
    ] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Most passes over the data.")] = None,
    split: Annotated[
        str, typer.Option(help="Shares of stars to train, validate and test: 0.6,0.2,0.2.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the search; the recipe keeps its own.")] = 0,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    name: Annotated[str, typer.Option(help="Name of the study within its storage.")] = "starnet",
    overwrite: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
    config: ConfigOption = None,
) -> None:
    """Search for better hyperparameters; stop and go on at any time, with as many as you like.

    Trials are judged by the robust scatter of validation stars; test stars are looked at after
    the search, once. The same command goes on with a study; given on several machines, they
    share it. Beside the model folder OUT, the folder OUT.tuning gets all trials, the best recipe,
    figures, and what `starnet train` writes.
    """
    from starnet.artifact import check_model_output
    from starnet.training import load_recipe
    from starnet.training.tune import Job, load_space
    from starnet.training.tune import tune as search

    if out is not None:
        check_model_output(out, overwrite=overwrite)
    changes: dict[str, Any] = {
        "labels": words(labels) or None, "epochs": epochs, "device": device,
        "split": _shares(split) or None,
    }  # fmt: skip
    changes = {key: value for key, value in changes.items() if value is not None}
    job = Job(
        dataset=str(data),
        recipe=load_recipe(recipe).with_settings(**changes).to_dict(),
        space=load_space(space).to_dict(),
        study=study,
        trials=trials,
        name=name,
        deadline=None if minutes is None else time.time() + 60 * minutes,
        pruner=pruner,  # type: ignore[arg-type]
        folds=folds,
        seed=seed,
    )
    found = search(job, workers=workers, on_trial=_say)
    _summary(found)
    if out is not None:
        work = out.with_name(f"{out.name}.tuning")
        write_findings(found, work)
        save_config(context, work / "config.yaml")
        _train_best(found, data, out, work, overwrite)


def write_findings(found: Any, work: Path) -> None:
    """Trials, importance, best recipe and figures of a study."""
    from starnet import plots
    from starnet.catalog import write_table
    from starnet.plots import tune as figures

    work.mkdir(parents=True, exist_ok=True)
    for ending in ("ecsv", "csv"):
        write_table(found.trials, work / f"trials.{ending}")
    found.best.save(work / "best.yaml")
    plots.save(figures.search_history(found.trials), work / "search.png")
    settings = found.facts["space"]["settings"]
    log = {name for name, entry in settings.items() if entry.get("log")}
    slices = figures.setting_slices(found.trials, list(settings), log)
    plots.save(slices, work / "settings.png")
    if len(found.importance):
        write_table(found.importance, work / "importance.ecsv")
        plots.save(figures.setting_importance(found.importance), work / "importance.png")


def _train_best(found: Any, data: Path, out: Path, work: Path, overwrite: bool) -> None:
    """Train the best recipe anew, with the split of the search, and save the model."""
    from starnet.catalog.calibrate import with_errors
    from starnet.dataset import open_dataset
    from starnet.training import train_model

    dataset = open_dataset(data)
    console.print("training the best recipe anew")
    result = train_model(dataset, found.best, name=out.name, checkpoint_dir=work / "checkpoints")
    model = found.signed(result.model)
    if len(result.rows[1]):
        with progress("errors") as tick:
            model, said = with_errors(model, dataset, result.rows[1], tick=tick)
        console.print(said, soft_wrap=True)
    model.save(out, overwrite=overwrite)
    shutil.rmtree(work / "checkpoints", ignore_errors=True)
    report(dataclasses.replace(result, model=model), dataset, work)
    console.print(f"model: {out}   trials, best recipe, figures, tests: {work}", soft_wrap=True)


def _say(row: dict[str, Any]) -> None:
    value = "" if row["value"] is None else f" {row['value']:.4f}"
    console.print(
        f"trial {row['number']}: {row['state']}{value}   best {row['best']:.4f}   "
        f"{row['done']} done",
        highlight=False,
    )


def _summary(found: Any) -> None:
    """Print the best trials and the settings that matter."""
    done = found.trials[[str(state) == "complete" for state in found.trials["state"]]]
    done.sort("value")
    show(done["number", "value", "epochs", "seconds"][:TOP], title="best trials")
    names = list(found.facts["space"]["settings"])
    best = [str(done[name][0]) for name in names]
    show(Table({"setting": names, "best": best}), title="settings of the best")
    if len(found.importance):
        show(found.importance[:TOP], title="settings that matter most")
    counted = ", ".join(f"{n} {state}" for state, n in found.facts["trials"].items())
    first = found.facts["first_value"]
    than = "" if first is None else f"; the recipe itself {first:.4f}"
    console.print(f"trials: {counted}. Best {found.facts['best_value']:.4f}{than}.")


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words(text))
    except ValueError:
        raise ConfigError(
            f"--split takes three shares such as 0.6,0.2,0.2; received {text!r}."
        ) from None
