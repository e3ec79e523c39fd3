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
from starnet.errors import ReadError


@app.command()
def predict(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    spectra: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs, text files of them, or a data set (.zarr)."),
    ],
    out: Annotated[Path, typer.Option(help="Label table: .fits, .ecsv, .parquet or .csv.")] = Path(
        "labels.fits"
    ),
    survey: SurveyOption = "",
    visits: VisitsOption = False,
    mask_bits: MaskBitsOption = "",
    error_floor: ErrorFloorOption = 0.0,
    medium: MediumOption = "",
    frame: FrameOption = "",
    adapt: Annotated[
        bool,
        typer.Option(help="Bring spectra to the model's frame (by each file's velocity) and grid."),
    ] = False,
    max_masked: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Flag spectra with more masked pixels.")
    ] = 0.2,
    part_size: Annotated[int, typer.Option(min=1, help="Files between two savings.")] = 1000,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    config: ConfigOption = None,
) -> None:
    """Label every spectrum with a trained model.

    Every file gives at least one row. A file that cannot be read, or does not fit the model, is
    flagged, says why in the column `message`, and never stops the others. Run the same command
    again after an interruption and it goes on where it was. A data set is labelled as it was
    built: the flags that say how to read files do not apply to it.
    """
    from starnet.artifact import load_model
    from starnet.catalog import label_dataset, make_catalog
    from starnet.inference import Predictor
    from starnet.training import choose_device

    predictor = Predictor(
        load_model(model), max_masked=max_masked, device=str(choose_device(device))
    )
    options = read_options(visits, mask_bits, error_floor, medium, frame)
    with progress("labelling") as tick:
        if len(spectra) == 1 and (Path(spectra[0]) / "zarr.json").is_file():
            prepare = predictor.model.adapt if adapt else None
            report = label_dataset(predictor, spectra[0], out, prepare=prepare, tick=tick)
        else:
            report = make_catalog(
                predictor,
                spectra,
                out,
                survey=survey or None,
                options=options,
                prepare=predictor.model.adapt if adapt else None,
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
