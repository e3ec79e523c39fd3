"""The front door: read, train, load. Full control is one floor below, in the rooms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starnet.artifact import check_model_output, load_model
from starnet.dataset import open_dataset
from starnet.inference import Predictor
from starnet.preprocess import Pipeline, Resample, ToRest
from starnet.preprocess import Transform as _Transform
from starnet.spectra import Spectra, WavelengthGrid, concatenate
from starnet.surveys import ReadOptions, find, read_file
from starnet.training import Recipe, choose_device, load_recipe, train_model


def read(
    what: str | Path | Sequence[str | Path],
    *,
    survey: str | None = None,
    grid: WavelengthGrid | None = None,
    rest: bool = False,
    **options: Any,
) -> Spectra:
    """Spectra of a file, a folder, a glob or a list of files, in one batch.

    Parameters
    ----------
    what : path, glob, or list of them
    survey : str, optional
        Read every file as this survey's, instead of identifying each.
    grid : WavelengthGrid, optional
        Resample every file to this grid. Needed where files differ in their wavelengths.
    rest : bool
        Shift to the rest frame by each file's own velocity.
    **options
        Fields of `surveys.ReadOptions`: ``mask_bits``, ``error_floor``, ``visits``, ``medium``,
        ``frame``.

    Raises
    ------
    ReadError
        If a file cannot be read; the message names it. To go on past bad files, use
        `surveys.read_many` or `catalog.make_catalog`.
    GridError
        If the files are on different grids and ``grid`` is not given.
    """
    steps: list[_Transform] = [ToRest()] if rest else []
    if grid is not None:
        steps.append(Resample(grid))
    prepare, chosen = Pipeline(tuple(steps)), ReadOptions(**options)
    files = find(what)
    return concatenate(prepare(read_file(f, survey=survey, options=chosen)) for f in files)


def train(
    data: str | Path,
    recipe: str | Path | Recipe = "starnet-2018",
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    checkpoint_dir: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> Predictor:
    """Train a model on a data set.

    Parameters
    ----------
    data : path
        A data set, as `dataset.build` makes it.
    recipe : str, path or Recipe
        A recipe of the package by name, a YAML file, or a `training.Recipe`.
    out : path, optional
        Folder to save the model in.
    overwrite : bool
        Replace a model of that name.
    checkpoint_dir : path, optional
        Folder for checkpoints, from which the same call goes on after an interruption.
    progress : bool
        Show progress.
    **settings
        Changes to the recipe: ``labels``, ``epochs``, ``batch_size``, ``lr``, ``seed``, ...

    Returns
    -------
    Predictor
        Ready to ``predict``.
    """
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if out is not None:
        check_model_output(out, overwrite=overwrite)
    result = train_model(
        open_dataset(data),
        chosen.with_settings(**settings),
        name="starnet" if out is None else Path(out).name,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
    )
    if out is not None:
        result.model.save(out, overwrite=overwrite)
    return Predictor(result.model)


def load(model: str | Path, **settings: Any) -> Predictor:
    """A saved model, ready to ``predict``. Loading runs no code of the model's.

    Parameters
    ----------
    model : path
        The model's folder.
    **settings
        Fields of `inference.Predictor`: ``max_masked``, ``batch_size``, ``device``.

    Raises
    ------
    ModelError
        If it is no model, is damaged, or needs a newer version.
    """
    if "device" in settings:
        settings["device"] = str(choose_device(settings["device"]))
    return Predictor(load_model(model), **settings)
