"""The front door: read, train, load, synthesize. Full control is one floor below, in the rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from starnet.artifact import check_model_output
from starnet.catalog.calibrate import with_errors
from starnet.dataset import open_dataset
from starnet.errors import ConfigError, LabelError
from starnet.inference import Chooser, Predictor, load_all, load_predictor
from starnet.preprocess import Pipeline, Resample, ToRest
from starnet.preprocess import Transform as _Transform
from starnet.spectra import Labels, Spectra, WavelengthGrid, concatenate
from starnet.surveys import ReadOptions, find, read_file
from starnet.synthesis import Synthesizer, SyntheticSpectra, build_synthesizer
from starnet.synthesis.observe import Instrument
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
    """Train a model on a data set; stars kept for validation measure the errors of its labels.

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
    dataset = open_dataset(data)
    result = train_model(
        dataset,
        chosen.with_settings(**settings),
        name="starnet" if out is None else Path(out).name,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
    )
    model = with_errors(result.model, dataset, result.rows[1])[0]
    if out is not None:
        model.save(out, overwrite=overwrite)
    return Predictor(model)


@overload
def load(model: str | Path, **settings: Any) -> Predictor: ...
@overload
def load(model: None = None, **settings: Any) -> Chooser: ...
def load(model: str | Path | None = None, **settings: Any) -> Predictor | Chooser:
    """A saved model, ready to ``predict``. Loading runs no code of the model's.

    Parameters
    ----------
    model : name or path, optional
        A model that comes with the package (see `inference.shipped_models`), or the folder of one
        of your own. Without it all models of the package, of which each spectrum gets the one
        that reads its wavelengths.
    **settings
        Fields of `inference.Predictor`: ``max_masked``, ``min_snr``, ``batch_size``, ``device``,
        ``adapts``; and ``cycle=False`` to leave out the comparison with emulated spectra.

    Raises
    ------
    ModelError
        If it is no model, is damaged, or needs a newer version.

    Examples
    --------
    >>> table = starnet.load("apogee").predict(starnet.read("apStar-x.fits")).to_table()
    """
    if "device" in settings:
        settings["device"] = str(choose_device(settings["device"]))
    return load_all(**settings) if model is None else load_predictor(model, **settings)


def synthesize(
    labels: Labels | Mapping[str, Any],
    grid: WavelengthGrid | str,
    engine: str | Synthesizer = "lte",
    *,
    outside: Literal["error", "clamp"] = "error",
    **settings: Any,
) -> SyntheticSpectra:
    """Spectra of stars with these labels.

    Parameters
    ----------
    labels : Labels, or mapping of name to number or array (N,)
        ``teff``, ``logg`` and ``fe_h``, and any of ``vmic``, ``mg_fe``, ``vsini``, ...
    grid : WavelengthGrid, or name of an instrument
        Pixels at rest; an instrument's grid ("apogee", "lamost", ...) brings its line spread.
    engine : str or Synthesizer
        An engine's name (see `starnet.synthesis.engine_names`), or one that was built already,
        which saves time from the second call on.
    outside : "error" or "clamp"
        What to do with labels for which there are no atmospheres.
    **settings
        Of the engine: ``physics=FOLDER`` names the folder of physics inputs.

    Raises
    ------
    LabelError
        If a label is unknown, missing, or outside.
    GridError
        If the grid is outside what the inputs cover.
    DataError
        If physics inputs are absent; the message says how to get them.

    Examples
    --------
    >>> sun = starnet.synthesize({"teff": 5777, "logg": 4.44, "fe_h": 0.0}, "apogee")
    """
    if not isinstance(labels, Labels):
        try:
            columns = np.broadcast_arrays(*(np.atleast_1d(v) for v in labels.values()))
            values = np.stack(columns, axis=1).astype(float)
        except (ValueError, TypeError) as error:
            raise LabelError(
                f"Labels must be numbers, or arrays with one number for each star; {error}."
            ) from error
        labels = Labels(tuple(labels), values)
    if isinstance(grid, str):
        grid = Instrument.preset(grid).grid
    if isinstance(engine, Synthesizer) and settings:
        raise ConfigError(
            f"The engine is built already and takes no settings; received {', '.join(settings)}. "
            "Give them where it is built, or name the engine."
        )
    built = engine if isinstance(engine, Synthesizer) else build_synthesizer(engine, **settings)
    return built.synthesize(labels, grid, outside=outside)
