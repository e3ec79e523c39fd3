"""What the contract does for every engine, with one whose spectra are known."""

from typing import Any

import numpy as np
import pytest

from starnet.errors import ConfigError, GridError, LabelError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis import Synthesizer, build_synthesizer, engine_names, register
from starnet.synthesis.contract import check_labels, log_even

NAMES = ("teff", "logg", "fe_h")
STARS = Labels(NAMES, [[5000.0, 3.0, -0.2], [6000.0, 4.0, 0.1], [4000.0, 1.0, -0.4]])
GRID = WavelengthGrid.linear(5000.0, 0.1, 200, "vacuum")
LINE = 5010.05


class Known(Synthesizer):
    """One Gaussian line whose depth is -[Fe/H] + 0.5, on a flat continuum that is teff."""

    name = "known"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def fine_grid(self, grid: WavelengthGrid) -> WavelengthGrid:
        if grid.wavelength[0] < 4000:
            raise GridError("It covers 4000 Angstrom and more.")
        return log_even(grid, 300_000)

    def emergent(self, labels: Labels, grid: WavelengthGrid, *, outside: str) -> Any:
        self.batches.append(len(labels))
        x = (grid.wavelength - LINE) / 0.15
        depth = 0.5 - labels.column("fe_h")[:, None]
        flux = 1 - depth * np.exp(-0.5 * x**2)
        return flux, np.broadcast_to(labels.column("teff")[:, None], flux.shape)

    def describe(self) -> dict[str, Any]:
        return {"engine": self.name}


def width(flux: np.ndarray) -> np.ndarray:
    """Equivalent widths, Angstrom."""
    return (1 - flux).sum(axis=1) * 0.1


def test_pixels_are_means_of_the_spectrum():
    made = Known().synthesize(STARS, GRID)
    assert made.normalized.shape == made.continuum.shape == (3, 200)
    depth = 0.5 - STARS.column("fe_h")
    assert np.allclose(width(made.normalized), depth * 0.15 * np.sqrt(2 * np.pi), rtol=2e-3)
    assert np.allclose(made.continuum, STARS.column("teff")[:, None])
    assert np.allclose(made.flux, made.normalized * made.continuum)


def test_batches_and_progress():
    engine, done = Known(), []
    whole = engine.synthesize(STARS, GRID, progress=done.append, batch=2)
    assert (engine.batches, done) == ([2, 1], [2, 3])
    order = [2, 0, 1]
    mixed = engine.synthesize(STARS[order], GRID)
    assert np.array_equal(mixed.normalized, whole.normalized[order])


def test_broadening_keeps_the_width_of_a_line():
    labels = Labels((*NAMES, "vsini", "vmac"), np.column_stack([STARS.values, [20] * 3, [5] * 3]))
    slow, fast = Known().synthesize(STARS, GRID), Known().synthesize(labels, GRID)
    assert np.all(fast.normalized.min(axis=1) > slow.normalized.min(axis=1) + 0.05)
    assert np.allclose(width(fast.normalized), width(slow.normalized), rtol=0.01)


def test_a_grid_with_a_line_spread():
    from dataclasses import replace

    from starnet.spectra import LineSpread

    soft = Known().synthesize(STARS, replace(GRID, lsf=LineSpread(resolution=5000.0)))
    sharp = Known().synthesize(STARS, GRID)
    assert np.all(soft.normalized.min(axis=1) > sharp.normalized.min(axis=1) + 0.05)
    assert np.allclose(width(soft.normalized), width(sharp.normalized), rtol=0.01)


def test_spectra_with_labels():
    made = Known().synthesize(STARS, GRID)
    spectra = made.spectra(["a", "b", "c"])
    assert list(spectra.meta["id"]) == ["a", "b", "c"]
    assert spectra.meta["logg"][2] == 1.0
    assert np.allclose(spectra.flux, made.normalized)
    assert not spectra.mask.any()
    absolute = made.spectra(absolute=True)
    assert "erg" in str(absolute.flux_unit)
    assert np.allclose(absolute.flux, made.flux)


def test_what_is_checked_before_an_engine_runs():
    engine = Known()
    for values in ([[5000.0, np.nan, 0.0]], np.zeros((0, 3))):
        with pytest.raises(LabelError):
            engine.synthesize(Labels(NAMES, values), GRID)
    with pytest.raises(ConfigError, match=r'"error" or "clamp".*\'edge\''):
        engine.synthesize(STARS, GRID, outside="edge")  # type: ignore[arg-type]
    with pytest.raises(GridError, match="4000"):
        engine.synthesize(STARS, WavelengthGrid.linear(3000.0, 0.1, 200, "vacuum"))
    with pytest.raises(LabelError, match="no meaning"):
        engine.synthesize(Labels((*NAMES, "rv"), [[5000.0, 3.0, 0.0, 1.0]]), GRID)
    assert not engine.batches


def test_missing_labels_are_counted():
    values = np.array(STARS.values)
    values[1:, 2] = np.nan
    with pytest.raises(LabelError, match=r"2 of 3 stars lack one, the first is star 1.*no fe_h"):
        check_labels(Labels(NAMES, values))


def test_log_even():
    fine = log_even(GRID.to_air(), 50_000)
    assert fine.medium == "vacuum"
    assert fine.sampling == "log"
    assert np.allclose(np.diff(np.log(fine.wavelength)), 1 / 50_000)
    assert fine.wavelength[0] == pytest.approx(GRID.wavelength[0] * np.exp(-0.002), rel=1e-6)
    assert log_even(fine, 60_000) is fine
    assert log_even(fine, 200_000) is not fine
    for resolution in (0, -5, np.nan):
        with pytest.raises(GridError, match="above 0"):
            log_even(GRID, resolution)


def test_engines_are_known_by_name():
    assert {"lte", "pysme", "turbospectrum", "synspec", "korg", "grid"} <= set(engine_names())
    register("known", Known)
    assert isinstance(build_synthesizer("known"), Known)
    with pytest.raises(ConfigError, match=r"no engine 'moog'; there are .*lte"):
        build_synthesizer("moog")
