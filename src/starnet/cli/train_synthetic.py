"""`starnet train-emulator` and `starnet train-reader`: from synthetic spectra to a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from astropy.table import Table

from starnet.cli._app import app, console, show

OverwriteOption = Annotated[bool, typer.Option(help="Replace one of that name.")]


@app.command("train-emulator")
def train_emulator(
    library: Annotated[Path, typer.Argument(help="Clean spectra, as `starnet synth` makes them.")],
    out: Annotated[Path, typer.Option(help="Folder for the emulator.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe of emulators by name (apogee, optical) or a YAML file.")
    ] = "apogee",
    half: Annotated[bool, typer.Option(help="Keep weights in half precision.")] = True,
    overwrite: OverwriteOption = False,
) -> None:
    """Train an emulator (labels to spectrum) on a library, and measure it on held-out stars.

    A run that was interrupted goes on when the same command is given again.
    """
    from starnet.dataset import open_dataset
    from starnet.models.stored import check_output
    from starnet.synthesis.emulator.emulator import FORMAT
    from starnet.training.emulate import load_emulator_recipe
    from starnet.training.emulate import train_emulator as make

    check_output(out, FORMAT, overwrite=overwrite)
    checkpoints = out.with_name(f"{out.name}.training")
    made = make(open_dataset(library), load_emulator_recipe(recipe), checkpoint_dir=checkpoints)
    made.save(out, overwrite=overwrite, half=half)
    shutil.rmtree(checkpoints, ignore_errors=True)
    rows = [{"where": name, **row} for name, row in made.card["accuracy"].items()]
    show(Table(rows), title=f"flux errors of held-out stars ({made.card['training_set']})")
    console.print(
        f"emulator: {out}   use it: starnet.synthesize(labels, grid, engine='emulator', "
        f"model='{out}')",
        soft_wrap=True,
    )


@app.command("train-reader")
def train_reader(
    recipe: Annotated[
        str, typer.Argument(help="A recipe of readers by name (apogee, optical) or a YAML file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    emulator: Annotated[
        str, typer.Option(help="An emulator by name or folder. Default: the recipe's.")
    ] = "",
    start: Annotated[
        Path | None, typer.Option(help="A reader of the same sizes to go on from.")
    ] = None,
    half: Annotated[bool, typer.Option(help="Keep weights in half precision.")] = True,
    overwrite: OverwriteOption = False,
) -> None:
    """Train a network on spectra that an emulator makes on the fly, as an observer sees them.

    A run that was interrupted goes on when the same command is given again.
    """
    from starnet.artifact import check_model_output, load_model
    from starnet.synthesis.emulator import Emulator
    from starnet.training.reader import load_reader_recipe
    from starnet.training.reader import train_reader as make

    check_model_output(out, overwrite=overwrite)
    checkpoints = out.with_name(f"{out.name}.training")
    model = make(
        load_reader_recipe(recipe),
        emulator=Emulator.load(emulator) if emulator else None,
        start=None if start is None else load_model(start),
        report=lambda text: console.print(text, highlight=False),
        checkpoint_dir=checkpoints,
    )
    model.save(out, overwrite=overwrite, half=half)
    shutil.rmtree(checkpoints, ignore_errors=True)
    console.print(f"model: {out}   label spectra: starnet predict FILES --model {out}")
