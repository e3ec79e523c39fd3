"""The demo's main job: make stars, write files, label them, compare with truth and limit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from starnet.api import load
from starnet.catalog import make_catalog, read_table, write_table
from starnet.demo.files import write_apstar
from starnet.demo.stars import SEED, draw_labels, observe, truth_table
from starnet.errors import ConfigError, ModelError
from starnet.evaluate import cramer_rao
from starnet.inference import Predictor
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Instrument

Array = NDArray[Any]
Say = Callable[[str], None]
LEAST = 20
"""Stars that the figures need."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo made of N stars.

    Attributes
    ----------
    truth : Labels
        True labels with vmac.
    predicted : Labels
        Of the labels that the model gives, NaN where it failed.
    good : bool array (N,)
        No flag of any kind.
    table : QTable
        The catalogue, in the order of the stars.
    limit : array (N, L)
        Cramer-Rao limit of each star in the order of ``emulator.labels``, all labels free.
    seen : Spectra
        As observed, on APOGEE's pixels.
    emulator : Emulator
        On APOGEE's pixels.
    seconds : dict
        Of each step, in order.
    about : dict
        Names and versions.
    """

    truth: Labels
    predicted: Labels
    good: NDArray[np.bool_]
    table: QTable
    limit: Array
    seen: Spectra
    emulator: Emulator
    seconds: dict[str, float]
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.truth)


def run_demo(
    out: str | Path = "demo",
    *,
    n: int = 300,
    seed: int = SEED,
    model: str | Path | Predictor = "apogee",
    emulator: str | Path | Emulator = "apogee",
    say: Say = lambda text: None,
) -> DemoResult:
    """Draw, observe, write, read, label, flag and compare n stars.

    Writes ``spectra/`` (apStar files), ``labels.fits`` (the catalogue) and ``truth.ecsv``.

    Parameters
    ----------
    out : path
        Folder for everything.
    n : int
        Stars; at least `LEAST`.
    seed : int
        Of stars and noise.
    model, emulator
        By name, folder, or ready.
    say : callable
        Told what is being done.

    Raises
    ------
    ConfigError
        If n is too small.
    ModelError
        If model or emulator is absent or damaged, or the model gives no label of the emulator.
    OutputError
        If ``out`` cannot be written to.
    """
    if not isinstance(n, int) or n < LEAST:
        raise ConfigError(f"The demo needs at least {LEAST} stars; received {n!r}.")
    out, seconds = Path(out), {}
    with _timed("load model and emulator", seconds, say):
        predictor = model if isinstance(model, Predictor) else load(model)
        sharp = emulator if isinstance(emulator, Emulator) else Emulator.load(emulator)
        shared = [name for name in predictor.model.labels if name in sharp.labels]
        if not shared:
            raise ModelError(
                f"The model gives {', '.join(predictor.model.labels)}, none of which the emulator "
                f"{sharp.title!r} has; take a model with teff, logg or fe_h."
            )
    with _timed("draw and observe stars", seconds, say):
        truth = draw_labels(sharp, n, seed)
        seen = observe(sharp, truth, seed=seed)
    with _timed("write apStar files", seconds, say):
        write_apstar(seen, out / "spectra")
        write_table(truth_table(truth, seen), out / "truth.ecsv")
    with _timed("read, preprocess, predict, flag, write", seconds, say):
        make_catalog(predictor, out / "spectra", out / "labels.fits")
    with _timed("Cramér-Rao limits", seconds, say):
        ours = sharp.on(Instrument.preset("apogee").grid)
        limit = cramer_rao(ours, truth, ivar=np.where(seen.mask, 0.0, seen.ivar))
    table = _in_order(read_table(out / "labels.fits"), seen)
    predicted = Labels.from_table(table, shared)
    about = {**predictor.about, "emulator": sharp.title, "cores": os.cpu_count(), "seed": seed}
    good = np.asarray(table["flag"]) == 0
    return DemoResult(truth, predicted, good, table, limit, seen, ours, seconds, about)


def _in_order(table: QTable, seen: Spectra) -> QTable:
    """Rows of the catalogue in the order of the stars."""
    ids = np.asarray(table["id"], dtype=str)
    row = {str(name).removeprefix("apStar-"): i for i, name in enumerate(ids)}
    return QTable(table[[row[str(name)] for name in np.asarray(seen.ids)]])


@contextmanager
def _timed(what: str, seconds: dict[str, float], say: Say) -> Iterator[None]:
    say(what)
    start = time.perf_counter()
    yield
    seconds[what] = time.perf_counter() - start
