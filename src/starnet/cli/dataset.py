"""`starnet dataset`: build and look at data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starnet.cli._app import ConfigOption, app, console, save_config, words
from starnet.cli._reading import (
    ErrorFloorOption,
    FrameOption,
    MaskBitsOption,
    MediumOption,
    SurveyOption,
    VisitsOption,
    read_options,
)
from starnet.errors import ConfigError

group = typer.Typer(help="Join spectra with labels into one data set.", no_args_is_help=True)
app.add_typer(group, name="dataset")


@group.command()
def build(
    context: typer.Context,
    spectra: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or text files of them.")
    ],
    labels: Annotated[
        Path, typer.Option(help="Label table: CSV, ECSV, FITS, Parquet or columns of text.")
    ],
    out: Annotated[Path, typer.Option(help="Data set to write, NAME.zarr.")],
    key: Annotated[
        str, typer.Option(help="Column of the table that names the star, spectrum or file.")
    ] = "star",
    names: Annotated[
        str, typer.Option("--names", help="Labels to take, comma-separated. Default: all known.")
    ] = "",
    rename: Annotated[
        str, typer.Option(help="Columns under other names: teff=TEFF_SPEC,fe_h=MH")
    ] = "",
    survey: SurveyOption = "",
    visits: VisitsOption = False,
    mask_bits: MaskBitsOption = "",
    error_floor: ErrorFloorOption = 0.0,
    medium: MediumOption = "",
    frame: FrameOption = "",
    rest: Annotated[
        bool, typer.Option(help="Shift to the rest frame by each file's own velocity.")
    ] = False,
    resample: Annotated[
        str,
        typer.Option(help="Common grid: FIRST,LAST,N,log|linear,vacuum|air (Angstrom, pixels)."),
    ] = "",
    duplicates: Annotated[
        str, typer.Option(help="Repeated keys with other labels: error or first.")
    ] = "error",
    workers: Annotated[int, typer.Option(min=1, help="Processes that read.")] = 1,
    resume: Annotated[
        bool, typer.Option(help="Go on with an interrupted build of the same settings.")
    ] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set of that name.")] = False,
    config: ConfigOption = None,
) -> None:
    """Read spectra, join them with a label table, and write one data set.

    Nothing is dropped in silence: the table at the end counts what was left out and why, and
    dropped.csv in the data set names every case. An interrupted build goes on when the same
    command is given again.
    """
    from starnet.dataset import build as build_dataset

    report = build_dataset(
        spectra,
        labels,
        out,
        key=key,
        label_names=words(names) or None,
        rename=dict(_pair(word) for word in words(rename)) or None,
        duplicates=duplicates,  # type: ignore[arg-type]
        prepare=_preparation(rest, resample),
        survey=survey or None,
        options=read_options(visits, mask_bits, error_floor, medium, frame),
        workers=workers,
        resume=resume,
        overwrite=overwrite,
    )
    save_config(context, out.with_name(f"{out.name}.config.yaml"))
    report.show(console)
    say_labels(out)


def say_labels(store: Path) -> None:
    """Print how many spectra have each label, so that values taken as missing are seen."""
    import numpy as np

    from starnet.dataset import open_dataset

    labels = open_dataset(store).labels
    counts = np.isfinite(labels.values).sum(axis=0)
    parts = [
        f"{name} {count}" + (f" ({len(labels) - count} missing)" if count < len(labels) else "")
        for name, count in zip(labels.names, counts, strict=True)
    ]
    console.print(f"labels: {', '.join(parts)}", soft_wrap=True)


def _pair(word: str) -> tuple[str, str]:
    name, equals, column = word.partition("=")
    if not equals or not column:
        raise ConfigError(f"--rename takes LABEL=COLUMN pairs; received {word!r}.")
    return name.strip(), column.strip()


def _preparation(rest: bool, resample: str):
    """The pipeline that brings files to a common frame and grid, if one is asked for."""
    from starnet.preprocess import Pipeline, Resample, ToRest

    steps = [ToRest()] if rest else []
    if resample:
        steps.append(Resample(grid_of(resample)))  # type: ignore[arg-type]
    return Pipeline(tuple(steps)) if steps else None


def grid_of(text: str):
    """The grid that ``FIRST,LAST,N,log|linear,vacuum|air`` describes."""
    import numpy as np

    from starnet.spectra import WavelengthGrid

    parts = words(text)
    try:
        first, last, n = float(parts[0]), float(parts[1]), int(parts[2])
        spacing = {"log": np.geomspace, "linear": np.linspace}[parts[3]]
        (medium,) = parts[4:]
        wavelength = spacing(first, last, n)
    except (ValueError, IndexError, KeyError) as error:
        raise ConfigError(
            "--resample takes FIRST,LAST,N,log|linear,vacuum|air, for example "
            f"3800,9000,3700,log,vacuum; received {text!r}."
        ) from error
    return WavelengthGrid(wavelength, medium)  # type: ignore[arg-type]
