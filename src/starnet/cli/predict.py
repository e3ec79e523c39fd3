"""`starnet predict`: spectra to a label table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from starnet.cli._app import ConfigOption, app, console, progress, save_config
from starnet.cli._reading import (
    ErrorFloorOption,
    FrameOption,
    MaskBitsOption,
    MediumOption,
    SurveyOption,
    VisitsOption,
    read_options,
)
from starnet.errors import ConfigError, ReadError


@app.command()
def predict(
    context: typer.Context,
    spectra: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs, text files of them, or a data set (.zarr)."),
    ],
    out: Annotated[Path, typer.Option(help="Label table: .fits, .ecsv, .parquet or .csv.")] = Path(
        "labels.fits"
    ),
    model: Annotated[
        str,
        typer.Option(help="A model of the package by name, or a folder. Default: the right one."),
    ] = "",
    survey: SurveyOption = "",
    visits: VisitsOption = False,
    mask_bits: MaskBitsOption = "",
    error_floor: ErrorFloorOption = 0.0,
    medium: MediumOption = "",
    frame: FrameOption = "",
    adapt: Annotated[
        bool,
        typer.Option(
            help="Bring spectra to the frame (by velocity) and grid of a model of your own; "
            "for models of the package that is done anyway."
        ),
    ] = False,
    max_masked: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Flag spectra with more masked pixels.")
    ] = 0.2,
    min_snr: Annotated[
        float, typer.Option(min=0.0, help="No labels for spectra of lower signal to noise.")
    ] = 5.0,
    cycle: Annotated[
        bool, typer.Option(help="Hold spectra emulated from the labels against the observed ones.")
    ] = True,
    part_size: Annotated[int, typer.Option(min=1, help="Files between two savings.")] = 1000,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    config: ConfigOption = None,
) -> None:
    """Label every spectrum, with errors and flags.

    Without --model each file gets the model of the package that reads its wavelengths; `starnet
    info` lists them. Every file gives at least one row. A file that cannot be read, or that no
    model reads, is flagged, says why in the column `message`, and never stops the others. Run the
    same command again after an interruption and it goes on where it was. A data set is labelled
    as it was built: the flags that say how to read files do not apply to it.
    """
    from starnet.catalog import label_dataset, make_catalog
    from starnet.inference import load_all, load_predictor
    from starnet.training import choose_device

    _refuse_models(spectra)
    settings = {"max_masked": max_masked, "min_snr": min_snr, "cycle": cycle}
    settings["device"] = str(choose_device(device))
    predictor = (
        load_predictor(model, adapts=adapt or None, **settings) if model else load_all(**settings)
    )
    options = read_options(visits, mask_bits, error_floor, medium, frame)
    with progress("labelling") as tick:
        if len(spectra) == 1 and (Path(spectra[0]) / "zarr.json").is_file():
            report = label_dataset(predictor, spectra[0], out, tick=tick)
        else:
            report = make_catalog(
                predictor,
                spectra,
                out,
                survey=survey or None,
                options=options,
                part_size=part_size,
                tick=tick,
            )
    save_config(context, out.with_name(f"{out.name}.config.yaml"))
    for line in _failures(report.failures):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    summary = (
        f"{report.path}: {report.n_spectra} spectra of {report.n_files} files, "
        f"{report.n_failed} without labels, {report.n_flagged} flagged"
    )
    if report.n_failed == report.n_spectra:
        raise ReadError(f"{summary}. No spectrum could be labelled: see the column message.")
    console.print(summary, soft_wrap=True)


def _refuse_models(spectra: list[str]) -> None:
    """Raise `ConfigError` if one of the spectra is a model."""
    for name in spectra:
        if (Path(name) / "model.json").is_file():
            raise ConfigError(f"{name} is a model, not a spectrum: give it as --model {name}.")


def _failures(failures: tuple[tuple[str, str], ...], most: int = 10) -> Iterator[str]:
    """Lines that name every kind of failure once, with its files."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for file, reason in failures:
        alike = re.sub(r"[\d.]+", "#", reason.replace(Path(file).name, ""))
        kinds.setdefault(alike, []).append((Path(file).name, reason))
    for same in list(kinds.values())[:most]:
        names = ", ".join(name for name, _ in same[:5]) + (", ..." if len(same) > 5 else "")
        yield f"no label for {len(same)} ({names}): {same[0][1]}"
    if len(kinds) > most:
        yield f"and {len(kinds) - most} other kinds of failure: see the column message"
