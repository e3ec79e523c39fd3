"""`starnet explain`: where a network looks, which lines it uses, and whether it cheats."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starnet.cli._app import ConfigOption, app, console, progress, save_config, words
from starnet.cli._reading import SurveyOption, read_options
from starnet.errors import ConfigError, ReadError, StarNetError

if TYPE_CHECKING:
    from starnet.explain.report import Explanation
    from starnet.inference import Predictor
    from starnet.spectra import Spectra

log = logging.getLogger("starnet.explain")
HOWS, OCCLUSIONS = ("slope", "path"), ("", "mask", "replace")


@app.command()
def explain(
    context: typer.Context,
    spectra: Annotated[
        list[str] | None,
        typer.Argument(
            help="Observed spectra to look at beside synthetic ones: files, folders, globs."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A model of the package by name, or a folder.")
    ] = "apogee",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("explained"),
    labels: Annotated[
        str, typer.Option(help="Labels to list and draw, comma-separated. Default: all.")
    ] = "",
    stars: Annotated[
        int, typer.Option(min=0, help="Synthetic stars, made by the model's emulator.")
    ] = 48,
    snr: Annotated[
        float, typer.Option(min=1.0, help="Signal to noise that they are quoted with.")
    ] = 100.0,
    how: Annotated[
        str, typer.Option(help="slope: d label / d flux; path: integrated gradients.")
    ] = "slope",
    features: Annotated[int, typer.Option(min=1, help="Features to list of each label.")] = 20,
    response: Annotated[
        bool, typer.Option(help="Change each label alone and see what moves.")
    ] = True,
    occlusion: Annotated[
        str, typer.Option(help="Take windows away: mask them, or replace by the mean star.")
    ] = "",
    windows: Annotated[
        Path | None,
        typer.Option(help="Folder of element windows (wave.dat, X.filt) to hold slopes against."),
    ] = None,
    page: Annotated[
        bool, typer.Option("--html/--no-html", help="Write the interactive page.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic stars.")] = 1,
    flagged: Annotated[
        bool, typer.Option(help="Also look at observed spectra whose labels are flagged.")
    ] = False,
    survey: SurveyOption = "",
    config: ConfigOption = None,
) -> None:
    """Where a network looks: maps, the lines it uses by name, and what moves with what.

    Writes an interactive page (explain.html), tables of the strongest features with the species
    of the lines they are at, of the agreement with the slopes of the physics, and of the response
    to each label changed alone, and a figure of each.
    """
    from starnet.explain.agreement import read_windows
    from starnet.explain.report import Settings
    from starnet.explain.report import explain as look
    from starnet.inference import load_predictor

    if how not in HOWS or occlusion not in OCCLUSIONS:
        raise ConfigError(
            f"--how must be {' or '.join(HOWS)} and --occlusion mask or replace; received "
            f"{how!r} and {occlusion!r}."
        )
    if page:
        _need_plotly()
    predictor = load_predictor(model, cycle=False, adapts=True)
    observed = _read(spectra or [], predictor, survey) if spectra else None
    chosen: Any = Settings(stars, snr, how, features, occlusion, response, seed, flagged)  # type: ignore[arg-type]
    with progress("looking") as tick:
        found = look(
            predictor, observed, chosen, labels=words(labels),
            windows=None if windows is None else (lambda grid: read_windows(windows, grid)),
            tell=lambda what, done, total: tick(done, total),
        )  # fmt: skip
    for path in found.write(out, page=page):
        console.print(f"wrote {path}", highlight=False)
    save_config(context, out / "config.yaml")
    _summary(found)


def _need_plotly() -> None:
    """Refuse now what would fail after minutes of work."""
    from starnet.explain.page import plotly_library

    plotly_library()


def _read(what: list[str], predictor: Predictor, survey: str) -> Spectra:
    """All spectra that can be read, on the model's grid; the others are named and left out."""
    from starnet.spectra.batch import concatenate
    from starnet.surveys import find, read_many

    options = read_options(False, "", 0.0, "", "")
    batches, lost = [], 0
    for batch in read_many(find(what), options, survey=survey or None):
        try:
            seen = predictor.adapt(batch)
        except StarNetError as error:
            log.warning("%s", error)
            lost += 1
            continue
        batches.append(seen)
    if not batches:
        raise ReadError(
            f"None of {', '.join(what)} holds a spectrum that the model {predictor.model.name!r} "
            "reads; the warnings say why."
        )
    if lost:
        console.print(f"{lost} file(s) are left out; the warnings say why.")
    return concatenate(batches)


def _summary(found: Explanation) -> None:
    shares = [
        f"{name} {one.fraction:.2f} ({one.chance:.2f})" for name, one in found.features.items()
    ]
    console.print(
        "features on a known line of the label's own species (by chance): " + ", ".join(shares),
        highlight=False,
    )
    if found.response is not None:
        changed, moved, value = found.response.largest
        console.print(
            f"response at S/N {found.response.snr:g}: mean diagonal "
            f"{found.response.mean_diagonal:.2f}, largest off-diagonal {value:+.2f} "
            f"({changed} changed, {moved} moves)",
            highlight=False,
        )
