"""`starnet.synthesize`: labels as a mapping, grids by name, engines by name or built."""

from pathlib import Path

import numpy as np
import pytest

import starnet
from starnet.errors import ConfigError, LabelError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis import Synthesizer
from starnet.synthesis.contract import log_even


class Slope(Synthesizer):
    """A line whose depth is [Fe/H]."""

    name = "slope"

    def fine_grid(self, grid):
        return log_even(grid, 100_000.0)

    def emergent(self, labels, grid, *, outside):
        line = np.exp(-0.5 * ((grid.wavelength - 16000) / 2.0) ** 2)
        flux = 1 - (0.5 + 0.1 * labels.column("fe_h"))[:, None] * line
        return flux, np.full_like(flux, 3.0)

    def describe(self):
        return {"engine": self.name}


GRID = WavelengthGrid(np.linspace(15950.0, 16050.0, 400), "vacuum")


def test_numbers_and_arrays_make_stars() -> None:
    made = starnet.synthesize(
        {"teff": 5000, "logg": [1.0, 4.0, 4.5], "fe_h": np.array([0.0, -1.0, 0.5])}, GRID, Slope()
    )
    assert made.normalized.shape == (3, 400)
    np.testing.assert_allclose(made.labels.column("teff"), 5000)
    np.testing.assert_allclose(made.normalized.min(axis=1), [0.5, 0.6, 0.45], atol=4e-3)
    np.testing.assert_allclose(made.flux, 3 * made.normalized)
    assert list(made.spectra().meta["fe_h"]) == [0.0, -1.0, 0.5]


def test_an_instrument_by_name_masks_its_gaps() -> None:
    made = starnet.synthesize({"teff": 5000, "logg": 4, "fe_h": 0}, "apogee", Slope())
    spectra = made.spectra()
    assert spectra.flux.shape == (1, 8575)
    assert 0.05 < spectra.mask.mean() < 0.25
    assert np.isfinite(spectra.flux).all()


def test_what_has_no_meaning_is_said() -> None:
    with pytest.raises(LabelError, match="unobtainium"):
        starnet.synthesize({"teff": 5000, "logg": 4, "fe_h": 0, "unobtainium_fe": 0}, GRID, Slope())
    with pytest.raises(LabelError, match="lack one"):
        starnet.synthesize({"teff": np.nan, "logg": 4, "fe_h": 0}, GRID, Slope())
    with pytest.raises(ConfigError, match="no engine 'magic'"):
        starnet.synthesize({"teff": 5000, "logg": 4, "fe_h": 0}, GRID, "magic")


def test_our_engine_by_name(shared_data: Path) -> None:
    physics = shared_data / "physics"
    if not physics.is_dir():
        pytest.skip("the physics inputs are absent")
    labels = Labels(("teff", "logg", "fe_h"), [[5777.0, 4.44, 0.0]])
    grid = WavelengthGrid(np.exp(np.log(15990) + np.arange(800) / 3e5), "vacuum")
    ours = starnet.synthesize(labels, grid, physics=physics)
    plain = starnet.synthesize(labels, grid, physics=physics, corrections=None)
    assert 0.2 < ours.normalized.min() < 0.95
    assert ours.normalized.max() < 1.001
    assert 1e-4 < np.abs(ours.normalized - plain.normalized).max() < 0.5
    # the Sun at 1 au sends 243 mW/m2/nm at 1.6 micron (Thuillier et al. 2003, Solar Physics 214, 1)
    at_surface = 24.3 * 215.03**2  # erg / s / cm2 / Angstrom; au over radius of the Sun
    np.testing.assert_allclose(ours.flux.mean(), at_surface, rtol=0.05)


def test_pixels_end_with_their_chip() -> None:
    wave = np.concatenate([np.linspace(15960, 15970, 101), np.linspace(16030, 16040, 101)])
    chips = WavelengthGrid(wave, "vacuum", chips=((0, 101), (101, 202)))
    star = {"teff": 5000, "logg": 4, "fe_h": 0}
    made = starnet.synthesize(star, chips, Slope())  # its line lies in the gap
    np.testing.assert_allclose(made.normalized, 1, atol=1e-6)


def test_settings_of_an_engine_that_is_built_are_refused() -> None:
    with pytest.raises(ConfigError, match="resolution"):
        starnet.synthesize({"teff": 5000, "logg": 4, "fe_h": 0}, GRID, Slope(), resolution=1e5)
    with pytest.raises(ConfigError, match="resolutoin"):
        starnet.synthesize({"teff": 5000, "logg": 4, "fe_h": 0}, GRID, "grid", resolutoin=1e5)
    with pytest.raises(LabelError, match="numbers"):
        starnet.synthesize({"teff": "hot", "logg": 4, "fe_h": 0}, GRID, Slope())
