"""A made-up data set on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet.dataset import from_arrays
from starnet.spectra import Labels, Spectra, WavelengthGrid


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Writes a data set of n spectra, two for each star; the flux is the number of the row."""

    def make(n: int = 300, n_pixels: int = 30, chunk: int | None = None, **kw: object) -> Path:
        rows = np.arange(n)
        grid = WavelengthGrid.linear(5000.0, 1.0, n_pixels, "air")
        meta = Table(
            {"id": [f"v{i}" for i in rows], "star": [f"s{i // 2}" for i in rows], "rv": 0.5 * rows}
        )
        flux = np.repeat(rows[:, None].astype("f4"), n_pixels, axis=1)
        mask = np.zeros(flux.shape, bool)
        mask[:, 3] = rows % 2 == 1
        spectra = Spectra(grid, flux, np.full_like(flux, 4.0), mask, meta=meta)
        logg = np.where(rows % 5 == 0, np.nan, rows / n)
        labels = Labels(("teff", "logg"), np.stack([4000.0 + rows, logg], axis=1))
        if chunk is None:
            return from_arrays(spectra, labels, tmp_path / "made.zarr", **kw)  # type: ignore[arg-type]
        from starnet.dataset import DatasetWriter

        with DatasetWriter(
            tmp_path / "made.zarr", grid=grid, label_names=labels.names, chunk_rows=chunk
        ) as writer:
            writer.append(spectra, labels)
        return writer.out

    return make
