import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, FrameError, GridError, LabelError
from starnet.inference import LabelFlag
from starnet.inference.fit import fit_spectra
from starnet.spectra import Labels, WavelengthGrid

PLAIN = {"rv": False, "broadening": False, "continuum_order": None}


def test_labels_agree_with_the_truth_within_their_errors(emulator, make):
    made = make(40)
    result = fit_spectra(emulator, made.spectra, **PLAIN)
    z = (result.labels.values - made.labels) / result.labels.errors
    assert 0.85 < np.sqrt(np.mean(z**2)) < 1.15
    assert result.converged.all()
    assert not result.flags.any()
    assert np.abs(result.reduced_chi2.mean() - 1) < 0.03


def test_velocity_width_and_continuum_of_unnormalised_spectra(emulator, make):
    made = make(40, moving=True, level=300.0)
    result = fit_spectra(emulator, made.spectra, continuum_order=2)
    z = (result.labels.values - made.labels) / result.labels.errors
    assert 0.8 < np.sqrt(np.mean(z[~result.flags.any(axis=1)] ** 2)) < 1.3
    assert 0.7 < np.std((result.rv - made.rv) / result.rv_err) < 1.4
    off = (result.broadening - made.broadening) / result.broadening_err
    assert 0.6 < np.std(off) < 1.4
    left = result.residuals(made.spectra) * np.sqrt(made.spectra.ivar)
    assert np.nanstd(left) == pytest.approx(1.0, abs=0.03)


def test_the_minimum_is_that_of_an_independent_optimiser(emulator, make):
    import torch
    from scipy.optimize import least_squares

    made = make(3)
    result = fit_spectra(emulator, made.spectra, **PLAIN)
    network = emulator.on(made.spectra.grid).network
    chips = np.r_[0:190, 210:400]
    for row in range(3):
        good = chips[~made.spectra.mask[row, chips]]
        root = np.sqrt(made.spectra.ivar[row, good])

        def left(x, row=row, good=good, root=root):
            labels = torch.tensor(x * result.labels.errors[row] + made.labels[row])[None].float()
            flux = network(labels)[0].detach().numpy()
            return root * (made.spectra.flux[row, good] - flux[good])

        best = least_squares(left, np.zeros(5), jac="3-point", diff_step=0.03)
        found = best.x * result.labels.errors[row] + made.labels[row]
        apart = (found - result.labels.values[row]) / result.labels.errors[row]
        assert np.abs(apart).max() < 0.05
        assert result.chi2[row] <= 2 * best.cost + 0.05**2  # as far apart as that


def test_results_do_not_depend_on_unit_company_or_batch(emulator, make):
    made = make(6, moving=True)
    spectra = made.spectra
    together = fit_spectra(emulator, spectra, continuum_order=2)
    scaled = spectra.replace(flux=spectra.flux * 1e4, ivar=spectra.ivar / 1e8)
    other = fit_spectra(emulator, scaled, continuum_order=2)
    alone = fit_spectra(emulator, spectra[3], continuum_order=2)
    for same, rows in ((other, slice(None)), (alone, [3])):
        apart = same.labels.values - together.labels.values[rows]
        assert np.abs(apart / together.labels.errors[rows]).max() < 0.03
    assert np.allclose(other.continuum, 1e4 * together.continuum, rtol=1e-2, atol=10)


def test_masked_pixels_do_not_count(emulator, make):
    spectra = make(4).spectra
    mask = np.array(spectra.mask)
    mask[:, 100:140] = True
    flux = np.array(spectra.flux)
    flux[:, 100:140] = 77.0
    a = fit_spectra(emulator, spectra.replace(mask=mask), **PLAIN)
    b = fit_spectra(emulator, spectra.replace(mask=mask, flux=flux), **PLAIN)
    assert np.allclose(a.labels.values, b.labels.values)


def test_unknown_errors_weigh_equally_and_scale_the_errors_by_the_residuals(emulator, make):
    spectra = make(8, snr=100).spectra
    known = fit_spectra(emulator, spectra, **PLAIN)
    unknown = fit_spectra(emulator, spectra.replace(ivar=np.zeros_like(spectra.ivar)), **PLAIN)
    assert unknown.errors_from_residuals.all()
    assert np.isnan(unknown.chi2).all()
    assert np.allclose(unknown.labels.errors, known.labels.errors, rtol=0.6)
    assert np.isfinite(unknown.to_table()["teff_err"].value).all()


def test_dead_spectra_fail_and_the_others_do_not(emulator, make):
    spectra = make(4).spectra
    mask, flux = np.array(spectra.mask), np.array(spectra.flux)
    mask[1] = True
    flux[2] = -1.0
    result = fit_spectra(emulator, spectra.replace(mask=mask, flux=flux), continuum_order=1)
    assert np.all(result.flags[[1, 2]] & LabelFlag.FAILED)
    assert np.isnan(result.labels.values[[1, 2]]).all()
    assert np.isnan(result.model[[1, 2]]).all()
    assert np.isfinite(result.labels.values[[0, 3]]).all()


@pytest.mark.parametrize("n", [0, 1])
def test_none_and_only_dead_spectra(emulator, make, n):
    spectra = make(2).spectra[list(range(n))]
    result = fit_spectra(emulator, spectra.replace(mask=np.ones_like(spectra.mask)))
    assert len(result.to_table()) == n


def test_stars_beyond_the_edge_stay_inside_and_are_flagged(emulator, make):
    made = make(12, width=np.array([1500, 2.4, 1.2, 0.7, 0.7]), seed=2)
    inside = emulator.hull.contains(made.labels)
    assert not inside.all()
    result = fit_spectra(emulator, made.spectra, **PLAIN)
    assert emulator.hull.contains(result.labels.values).all()
    edge = LabelFlag.OUTSIDE_BOUNDS | LabelFlag.OUTSIDE_HULL
    assert ((result.flags & edge) > 0).any(axis=1)[~inside].all()


def test_limits_between_labels_hold_too(emulator, make):
    from dataclasses import replace

    limit = np.array([[0, 0, 0, 1.0, -1.0, 0.0]])  # mg_fe <= si_fe
    tied = replace(emulator, hull=replace(emulator.hull, limits=limit))
    made = make(8)
    result = fit_spectra(tied, made.spectra, **PLAIN)
    beyond = made.labels[:, 3] > made.labels[:, 4] + 0.1
    assert beyond.any()
    assert np.all(result.labels.values[:, 3] <= result.labels.values[:, 4] + 1e-6)
    hull = (result.flags & LabelFlag.OUTSIDE_HULL) > 0
    assert hull[beyond][:, 3:].all()
    assert not hull[:, :3].any()


def test_spectra_that_no_model_fits_are_flagged(emulator, make):
    spectra = make(3).spectra
    flux = np.array(spectra.flux)
    flux[1] += 0.5 * np.sin(np.arange(400))
    result = fit_spectra(emulator, spectra.replace(flux=flux), continuum_order=1)
    assert ((result.flags & LabelFlag.POOR_FIT) > 0).any(axis=1).tolist() == [False, True, False]
    assert result.excess[1] == pytest.approx(0.35, rel=0.3)


def test_free_fixed_and_start(emulator, make):
    made = make(6)
    names = emulator.labels
    start = Labels(names, made.labels)
    held = fit_spectra(emulator, made.spectra, start=start, free=["teff", "logg"], **PLAIN)
    assert held.free == ("teff", "logg")
    assert np.allclose(held.labels.values[:, 2:], made.labels[:, 2:])
    assert np.isnan(held.labels.errors[:, 2:]).all()
    fixed = {"logg": made.labels[:, 1], "rv": 0.0, "broadening": 3.0}
    some = fit_spectra(emulator, made.spectra, fixed=fixed, continuum_order=0)
    assert np.allclose(some.labels.column("logg"), made.labels[:, 1])
    assert np.allclose(some.broadening, 3.0)
    every = fit_spectra(emulator, made.spectra, **PLAIN)
    assert np.all(held.labels.errors[:, 0] <= every.labels.errors[:, 0] * 1.001)


def test_one_good_start_is_as_good_as_many(emulator, make):
    made = make(6)
    start = Labels(("teff", "fe_h"), made.labels[:, [0, 2]])
    one = fit_spectra(emulator, made.spectra, start=start, starts=1, **PLAIN)
    many = fit_spectra(emulator, made.spectra, starts=4, **PLAIN)
    assert np.abs((one.labels.values - many.labels.values) / many.labels.errors).max() < 0.05


def test_a_prior_narrows_its_label(emulator, make):
    made = make(4, snr=30)
    free = fit_spectra(emulator, made.spectra, **PLAIN)
    prior = {"logg": (made.labels[:, 1], 0.01)}
    told = fit_spectra(emulator, made.spectra, priors=prior, **PLAIN)
    assert np.all(told.labels.errors[:, 1] < 0.0101)
    assert np.allclose(told.labels.values[:, 1], made.labels[:, 1], atol=0.03)
    assert np.all(told.chi2 >= free.chi2 - 0.01)


@pytest.mark.parametrize("medium", ["vacuum", "air"])
def test_grids_that_are_not_even_in_log_wavelength(emulator, make, medium):
    import torch

    made = make(8, moving=True)
    wave = np.linspace(15505.0, 15560.0, 300)
    grid = WavelengthGrid(wave, medium, lsf=made.spectra.grid.lsf)
    local = emulator.on(grid, shift=2.0)
    with torch.no_grad():
        flux = local.flux(torch.tensor(made.labels).float()).numpy()
    spectra = made.spectra.replace(grid=grid, flux=flux, ivar=flux * 0 + 1e4, mask=flux < 0)
    result = fit_spectra(emulator, spectra, continuum_order=1)
    assert np.abs((result.labels.values - made.labels) / result.labels.errors).max() < 0.5
    assert np.allclose(result.rv, 2.0, atol=0.1)


def test_the_table_is_in_the_style_of_predictions(emulator, make):
    result = fit_spectra(emulator, make(3).spectra)
    table = result.to_table()
    assert table.colnames[:7] == [
        "id", "star", "snr", "masked_fraction", "teff", "teff_err", "teff_flag",
    ]  # fmt: skip
    assert str(table["teff_err"].unit) == "K"
    assert {"chi2", "dof", "fit_rv", "broadening", "converged", "flag"} <= set(table.colnames)
    assert "64 = the fit did not converge" in table.meta["flag_bits"]
    assert np.allclose(np.diag(result.correlation(0)), 1)
    assert len(result[[0, 2]].to_table()) == 2


def test_progress_counts_every_spectrum(emulator, make):
    seen = []
    fit_spectra(emulator, make(3).spectra, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"free": ["tef"]}, LabelError, "tef, which the emulator has not; it has teff"),
        ({"fixed": {"logg": 99}}, LabelError, "logg = 99 to 99"),
        ({"fixed": {"logg": [1, 2]}}, ConfigError, "one for each of 3 spectra"),
        ({"free": ["logg"], "fixed": {"logg": 2}}, ConfigError, "must be free"),
        ({"free": ["logg", "teff"], "fixed": {"logg": 2}}, ConfigError, "free and fixed"),
        ({"priors": {"logg": 3}}, ConfigError, r"\(mean, sigma\)"),
        ({"priors": {"logg": (3, 0)}}, ConfigError, "above 0"),
        ({"starts": 0}, ConfigError, "starts must be"),
        ({"continuum_order": 99}, ConfigError, "continuum_order"),
        ({"max_rv": -1}, ConfigError, "max_rv"),
        ({"start": 7}, LabelError, "start must be Labels"),
        ({"start": Labels(("vsini",), [[1.0]] * 3)}, LabelError, "nothing in common"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(emulator, make, settings, error, words):
    with pytest.raises(error, match=words):
        fit_spectra(emulator, make(3).spectra, **settings)


def test_wrong_spectra_are_refused_with_a_sentence(emulator, make):
    spectra = make(2).spectra
    with pytest.raises(FrameError, match="ToRest"):
        fit_spectra(emulator, spectra.replace(frame="observed"))
    far = WavelengthGrid.linear(5000, 0.1, 400, "air")
    with pytest.raises(GridError, match="no pixel"):
        fit_spectra(emulator, spectra.replace(grid=far))
    with pytest.raises(DataError, match="continuum_order=4"):
        fit_spectra(emulator, spectra.replace(flux=spectra.flux * 300), continuum_order=None)
