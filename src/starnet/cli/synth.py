"""`starnet synth`: a plan to a data set of synthetic spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starnet.cli._app import app, console, errors, show
from starnet.errors import ConfigError, StarNetError

if TYPE_CHECKING:
    from starnet.library import LibraryPlan
    from starnet.spectra import Labels

BYTES = 4 * 0.75 + 4 * 0.75 + 0.1
"""Of one pixel on disk: flux, inverse variance and mask, as `starnet.dataset.layout` measured."""
CLEAN_BYTES = 4 * 0.75 + 0.15
"""Of a clean one, whose inverse variance is 0."""


@app.command()
def synth(
    plan: Annotated[str, typer.Argument(help="A plan by name (synth-generic) or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="Data set to write, NAME.zarr.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Stars. Default: the plan's.")] = None,
    physics: Annotated[
        Path | None, typer.Option(help="Folder of line lists, atmospheres and tables.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one for each core.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, for engines that can.")] = "",
    dask: Annotated[
        str, typer.Option(help="Dask scheduler: tcp://HOST:PORT, a scheduler file, or local.")
    ] = "",
    shard_size: Annotated[int | None, typer.Option(min=1, help="Stars in a shard.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only say what would be made.")] = False,
    resume: Annotated[
        bool, typer.Option(help="Go on with an interrupted run of the same plan.")
    ] = True,
    keep_shards: Annotated[
        bool, typer.Option(help="Keep the shards, to make the library larger later.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set of that name.")] = False,
) -> None:
    """Make a library of synthetic spectra, ready to train on.

    The plan says which stars, by which engine, through which instrument. Work is cut in shards
    beside OUT; a run that was interrupted goes on when the same command is given again. Stars
    that fail are listed with the reason and left out.
    """
    from starnet.library import load_plan

    changes: dict[str, Any] = {
        "n": n,
        "physics": physics and str(physics.absolute()),
        "device": device,
    }
    chosen = load_plan(plan).with_settings(**{k: v for k, v in changes.items() if v})
    if dry:
        describe(chosen)
        return
    if out is None:
        raise ConfigError("Where to? Name the data set with --out NAME.zarr, or look with --dry.")
    settings = {"workers": workers, "dask": dask or None, "shard_size": shard_size}
    _make(
        chosen, out, **settings, resume=resume, overwrite=overwrite, keep_shards=keep_shards
    )  # fmt: skip


def _make(plan: LibraryPlan, out: Path, **settings: Any) -> None:
    from starnet.library import made_before, make_library, shards_path

    try:
        report = make_library(plan, out, **settings)
    except KeyboardInterrupt:
        done = made_before(out)
        errors.print(f"{done} of {plan.n} stars are made; their shards are in {shards_path(out)}.",
                     soft_wrap=True, highlight=False)  # fmt: skip
        raise
    for name in report.remade:
        console.print(f"shard {name} was damaged or outdated, and was made again")
    for name, reason in report.failed[:10]:
        console.print(f"{name} failed: {reason}", soft_wrap=True, markup=False, highlight=False)
    if len(report.failed) > 10:
        console.print(f"and {len(report.failed) - 10} more; dropped.csv in the data set has all")
    console.print(
        f"{report.n_spectra} spectra of {report.n_stars} stars, {len(report.failed)} failed, "
        f"{report.resumed} were there before; {report.rate:.3g} spectra/s\ndata set: {out}",
        soft_wrap=True,
        highlight=False,
    )


def describe(plan: LibraryPlan) -> None:
    """Print what a plan would make: stars, labels and their ranges, pixels, size on disk."""
    from starnet.library import draw_stars
    from starnet.library.engine import opened

    engine, told = None, "ready"
    try:
        engine = opened(plan.engine)
    except (StarNetError, OSError) as error:
        told = f"cannot be opened here; stars are drawn without its limits. {error}"
    labels = draw_stars(plan, engine)
    n, grid = plan.n * plan.visits, plan.recorder.grid
    each = CLEAN_BYTES if plan.observer is None else BYTES
    seen = "clean" if plan.observer is None else f"observed, {plan.visits} visit(s) each"
    lines = {
        "plan": f"{plan.name}, digest {plan.digest()}, seed {plan.seed}",
        "engine": f"{plan.engine['name']}: {told}",
        "instrument": f"{plan.recorder.name}: {grid.describe()}",
        "spectra": f"{n}, of {plan.n} stars, {seen}",
        "size": f"about {_size(n * grid.n_pixels * each)}, and while it is made "
        f"{_size(n * grid.n_pixels * 9)} more in shards",
    }
    for name, text in lines.items():
        console.print(f"{name:<11}{text}", soft_wrap=True, markup=False, highlight=False)
    show(label_table(labels), title="labels")


def label_table(labels: Labels) -> Any:
    """Range of each label: lowest, median, highest."""
    import numpy as np
    from astropy.table import Table

    low, middle, high = np.percentile(labels.values, (0, 50, 100), axis=0)
    return Table(
        {"label": list(labels.names), "unit": [u or "-" for u in labels.units],
         "lowest": low, "median": middle, "highest": high}
    )  # fmt: skip


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2g} GB" if n_bytes > 1e9 else f"{max(n_bytes / 1e6, 0.1):.3g} MB"
