import numpy as np
import pytest

from starnet.errors import ReadError
from starnet.explain import optimal_weights, read_windows
from starnet.spectra import WavelengthGrid


def test_weights_of_least_variance_give_each_label_back(rng):
    slopes, extra = rng.standard_normal((3, 200)), rng.standard_normal((2, 200))
    ivar = rng.uniform(0.5, 2.0, 200)
    weights = optimal_weights(slopes, extra, ivar)
    assert np.allclose(weights @ slopes.T, np.eye(3), atol=1e-8)
    assert np.allclose(weights @ extra.T, 0.0, atol=1e-8)


def test_their_variance_is_the_limit_and_a_prior_lowers_it(rng):
    slopes, none = rng.standard_normal((3, 200)), np.zeros((0, 200))
    ivar = rng.uniform(0.5, 2.0, 200)
    weights = optimal_weights(slopes, none, ivar)
    variance = np.einsum("lp,p,kp->lk", weights, 1 / ivar, weights)
    assert np.allclose(variance, np.linalg.inv((slopes * ivar) @ slopes.T))
    prior = optimal_weights(slopes, none, ivar, np.diag([1e4, 0.0, 0.0]))
    assert (prior @ slopes.T)[0, 0] < 0.1


def test_masked_pixels_have_no_weight(rng):
    ivar = np.ones(100)
    ivar[:40] = 0.0
    assert np.all(
        optimal_weights(rng.standard_normal((2, 100)), np.zeros((0, 100)), ivar)[:, :40] == 0
    )


def test_windows_are_read_onto_the_grid(tmp_path):
    wave = np.linspace(15000, 16000, 50)
    np.savetxt(tmp_path / "wave.dat", np.column_stack([wave, np.arange(50)]))
    weight = np.where(np.abs(wave - 15500) < 30, 0.8, -0.1)
    np.savetxt(tmp_path / "Mg.filt", weight)
    np.savetxt(tmp_path / "Fe.filt", weight)
    grid = WavelengthGrid(np.linspace(15400, 15600, 100), "vacuum")
    found = read_windows(tmp_path, grid)
    assert set(found) == {"mg_fe", "fe_h"}
    assert found["mg_fe"].min() == 0.0
    assert np.interp(15500, grid.wavelength, found["mg_fe"]) == pytest.approx(0.8)


def test_a_folder_without_windows_is_refused(tmp_path):
    grid = WavelengthGrid(np.linspace(15400, 15600, 100), "vacuum")
    with pytest.raises(ReadError, match=r"wave\.dat"):
        read_windows(tmp_path, grid)
    np.savetxt(tmp_path / "wave.dat", np.arange(5.0))
    np.savetxt(tmp_path / "Mg.filt", np.arange(4.0))
    with pytest.raises(ReadError, match="as long as"):
        read_windows(tmp_path, grid)


def test_real_windows(shared_data):
    folder = shared_data / "apogee" / "windows"
    if not folder.is_dir():
        pytest.skip("no element windows")
    grid = WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum")
    found = read_windows(folder, grid)
    assert {"mg_fe", "al_fe", "fe_h"} <= set(found)
    best = grid.wavelength[np.argmax(found["al_fe"])]
    assert min(abs(best - line) for line in (16723.5, 16755.1, 16768.0)) < 2.0
