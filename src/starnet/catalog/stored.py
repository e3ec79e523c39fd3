"""The spectra of a data set to one label table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from starnet.catalog.run import CatalogReport, Tick, join_tables, summarise
from starnet.catalog.writers import check_writable, write_table
from starnet.dataset import SpectraDataset, open_dataset
from starnet.inference import Chooser, Predictor


def label_dataset(
    predictor: Predictor | Chooser,
    path: str | Path,
    out: str | Path,
    *,
    block: int = 2000,
    tick: Tick = lambda done, total: None,
) -> CatalogReport:
    """Labels of every spectrum of a data set, as one table; memory does not grow with it.

    Raises
    ------
    DataError
        If the path is no data set.
    GridError, FrameError
        If the model reads other spectra and does not adapt them, or none does.
    OutputError
        If the table cannot be written.
    """
    out = Path(out)
    check_writable(out)
    dataset = open_dataset(path)
    table = label_rows(predictor, dataset, np.arange(len(dataset)), block=block, tick=tick)
    write_table(table, out)
    return summarise(out, len(dataset.files), table)


def label_rows(
    predictor: Predictor | Chooser,
    dataset: SpectraDataset,
    rows: NDArray[Any],
    *,
    block: int = 2000,
    tick: Tick = lambda done, total: None,
) -> QTable:
    """Labels of some rows of a data set, read and predicted in blocks.

    Raises
    ------
    GridError, FrameError
        If the model reads other spectra and does not adapt them, or none does.
    """
    tables = []
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        spectra = dataset.read(part)
        tables.append(predictor.predict(spectra).to_table())
        tick(start + len(part), len(rows))
    return join_tables(tables)
