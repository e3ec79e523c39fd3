"""`starnet calibrate`: errors of a model that hold on stars with known labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from starnet.cli._app import app, console, progress


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="A model folder, or a model of the package.")],
    data: Annotated[
        Path, typer.Argument(help="Data set (starnet dataset build) of stars with known labels.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the calibrated model.")],
    overwrite: Annotated[bool, typer.Option(help="Replace a model of that name.")] = False,
) -> None:
    """Fit a model's errors to stars that it has not learnt from.

    Of the data set that the model was trained on, only the stars that were kept out of training
    are used. A model whose network gives no errors gets some: the noise of each star's pixels,
    and the scatter of these stars about their labels.
    """
    from starnet.artifact import check_model_output
    from starnet.catalog.calibrate import calibrate as fit
    from starnet.catalog.calibrate import unseen
    from starnet.dataset import open_dataset
    from starnet.inference import load_predictor

    check_model_output(out, overwrite=overwrite)
    given = load_predictor(model).model
    dataset = open_dataset(data)
    rows = unseen(given, dataset)
    with progress("calibration stars") as tick:
        made = fit(given, dataset, rows, tick=tick)
    made.save(out, overwrite=overwrite)
    stars = len(np.unique(dataset.stars[rows]))
    console.print(
        f"model: {out}   errors calibrated on {stars} stars ({len(rows)} spectra)", soft_wrap=True
    )
