"""`starnet demo`: the main job from end to end on real labelled spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starnet.cli._app import app, console
from starnet.cli.dataset import say_labels
from starnet.cli.train import report
from starnet.errors import ReadError


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of spectra with a label table. Default: fetch MILES."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label table. Default: one found in the folder.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="Column of the table that names the star. Default: found.")
    ] = "",
    recipe: Annotated[str, typer.Option(help="A recipe by name, or a YAML file.")] = "miles",
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("demo"),
) -> None:
    """Build a data set, train, predict held-out stars, compare, and draw.

    With --data it runs on a folder of spectra with a label table; without it, the MILES library
    is fetched from its public source.
    """
    from starnet.archives import fetch_miles
    from starnet.dataset import build, find_labels, open_dataset
    from starnet.training import load_recipe, train_model

    folder = fetch_miles(out / "miles") if data is None else data
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
