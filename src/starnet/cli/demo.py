"""`starnet demo`: the main job from end to end, on made-up stars or on real labelled ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starnet.cli._app import app, console
from starnet.errors import ConfigError, ReadError

FETCHED = "miles"
"""What --data calls the library that is fetched."""


@app.command()
def demo(
    n: Annotated[int, typer.Option("-n", "--stars", help="Number of stars.")] = 300,
    model: Annotated[
        str, typer.Option(help="Model for APOGEE: one of the package by name, or a folder.")
    ] = "apogee",
    emulator: Annotated[
        str, typer.Option(help="Emulator for APOGEE: one of the package by name, or a folder.")
    ] = "apogee",
    seed: Annotated[int, typer.Option(help="Of stars and noise.", min=0)] = 20260,
    data: Annotated[
        str,
        typer.Option(
            help="Train and test on real stars instead: a folder of spectra with a label table, "
            f"or '{FETCHED}' to fetch the MILES library."
        ),
    ] = "",
    labels: Annotated[
        Path | None, typer.Option(help="With --data: label table. Default: found in the folder.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="With --data: column that names the star. Default: found.")
    ] = "",
    recipe: Annotated[str, typer.Option(help="With --data: a recipe, or a YAML file.")] = "miles",
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("demo"),
) -> None:
    """Draw stars as APOGEE sees them, label their spectra, compare, and write a report.

    Needs no data and no training: it runs on what the package carries, and writes report.html.
    With --data it builds a data set of real spectra, trains, predicts held-out stars and compares.
    """
    if data:
        _train_on(data, labels, key, recipe, out)
    elif labels is not None or key:
        raise ConfigError("--labels and --key belong to a folder of spectra: give --data FOLDER.")
    else:
        _made_up(n, model, emulator, seed, out)


def _made_up(n: int, model: str, emulator: str, seed: int, out: Path) -> None:
    """The demo on what the package carries."""
    import time

    from starnet.demo import run_demo, write_report
    from starnet.evaluate import residual_table

    start = time.perf_counter()
    result = run_demo(out, n=n, seed=seed, model=model, emulator=emulator, say=console.print)
    console.print("draw figures")
    path = write_report(result, out / "report.html")
    good = result.good
    console.print(f"predicted minus true, {int(good.sum())} of {n} stars without a flag:")
    for row in residual_table(result.predicted[good], result.truth[good]):
        console.print(
            f"  {row['label']:6s} {row['median']:+9.3f} ± {row['scatter']:.3f} {row['unit']}"
        )
    seconds = time.perf_counter() - start
    console.print(f"{seconds:.0f} s. In {out}: labels.fits, truth.ecsv, spectra, and the report")
    console.print(str(path), soft_wrap=True)


def _train_on(data: str, labels: Path | None, key: str, recipe: str, out: Path) -> None:
    """The demo on real labelled spectra."""
    from starnet.archives import fetch_miles
    from starnet.cli.dataset import say_labels
    from starnet.cli.train import report
    from starnet.dataset import build, find_labels, open_dataset
    from starnet.training import load_recipe, train_model

    fetched = data == FETCHED and not Path(data).exists()
    folder = fetch_miles(out / "miles") if fetched else Path(data)
    if not folder.is_dir():
        raise ReadError(
            f"There is no folder {folder}. Give one with spectra: make demo DATA=folder"
        )
    store = out / "spectra.zarr"
    console.rule("1  spectra and labels")
    built = build(folder, find_labels(folder, labels, key=key), store, overwrite=True, resume=False)
    built.show(console)
    say_labels(store)
    console.rule("2  training")
    chosen = load_recipe(recipe)
    dataset = open_dataset(store)
    result = train_model(
        dataset,
        chosen,
        name="demo",
        on_member=lambda i, n: console.print(f"network {i + 1} of {n}") if n > 1 else None,
    )
    result.model.save(out / "model", overwrite=True)
    console.rule("3  stars that the networks have not seen")
    report(result, dataset, out)
    figures = ", ".join(sorted(path.name for path in out.glob("*.png")))
    console.print(f"in {out}: model, test.ecsv, residuals.ecsv, {figures}", soft_wrap=True)
    console.print(
        f"label spectra like these (others too with --adapt, as far as they are alike): "
        f"starnet predict {out / 'model'} FILES --out labels.fits",
        soft_wrap=True,
    )
