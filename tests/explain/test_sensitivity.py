import numpy as np
import pytest

from starnet.errors import ConfigError, DataError
from starnet.explain import occlusion, sensitivity
from starnet.explain.occlusion import windows_of
from starnet.explain.sensitivity import attributions, baseline_flux, path, slopes


def labels_of(model, inputs):
    import torch

    with torch.no_grad():
        return model.scale.inverse(model.network(torch.from_numpy(inputs)).double().numpy())


def test_slopes_are_those_of_finite_differences(toy_model, toy_spectra):
    prepared = toy_model.prepare(toy_spectra[:2])
    inputs = toy_model.inputs(prepared)
    (_, _, found), *_ = attributions(toy_model, prepared)
    pixel, step = 50, 1e-3
    up, down = inputs.copy(), inputs.copy()
    up[:, 0, pixel] += step
    down[:, 0, pixel] -= step
    wanted = (labels_of(toy_model, up) - labels_of(toy_model, down)) / (2 * step)
    assert np.allclose(found[:, :, pixel], wanted, rtol=0.03, atol=1e-3 * np.nanmax(np.abs(found)))


def test_paths_add_up_to_the_difference_of_their_ends(toy_model, toy_spectra):
    inputs = toy_model.inputs(toy_model.prepare(toy_spectra))
    baseline = np.ones((6, inputs.shape[2]))
    found = path(toy_model, inputs, baseline, steps=600)
    ends = inputs.copy()
    ends[:, 0] = baseline
    wanted = labels_of(toy_model, inputs) - labels_of(toy_model, ends)
    size = np.abs(wanted).max(axis=0)
    assert np.all(np.abs(found.sum(axis=2) - wanted) < 0.02 * size)  # teff is on a logarithm


def test_the_first_bin_is_the_mean_over_stars_where_pixels_are_good(toy_model, toy_spectra):
    prepared = toy_model.prepare(toy_spectra)
    every = np.concatenate([values for _, _, values in attributions(toy_model, prepared)])
    maps = sensitivity(toy_model, toy_spectra, edges={"logg": (2.5,)})
    assert maps.bins[0] == "all"
    assert maps.count[0] == 6
    assert maps.count[1:].sum() == 6
    good = ~np.all(prepared.mask, axis=0)
    assert np.allclose(maps.mean[0][:, good], np.nanmean(every[:, :, good], axis=0), rtol=1e-6)
    pixel = int(np.flatnonzero(~prepared.mask.any(axis=0))[0])
    error = every[:, 0, pixel].std(ddof=1) / np.sqrt(6)
    assert maps.error[0, 0, pixel] == pytest.approx(error)


def test_stars_count_for_the_labels_that_keep_them(toy_model, toy_spectra):
    rows = np.array([True, False, False, False, False, False])
    alone = sensitivity(toy_model, toy_spectra[:1], edges={})
    maps = sensitivity(toy_model, toy_spectra, edges={}, keep={"teff": rows})
    assert np.allclose(maps.of("teff")[0], alone.of("teff")[0], equal_nan=True)
    assert not np.allclose(maps.of("logg")[0], alone.of("logg")[0], equal_nan=True)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"how": "saliency"}, ConfigError),
        ({"how": "path", "baseline": "zero"}, ConfigError),
        ({"how": "path", "baseline": np.ones(3)}, DataError),
        ({"edges": {"logg": (3.0, 2.0)}}, ConfigError),
        ({"keep": {"logg": np.ones(2, dtype=bool)}}, DataError),
    ],
)
def test_wrong_settings_are_refused(toy_model, toy_spectra, settings, error):
    with pytest.raises(error):
        sensitivity(toy_model, toy_spectra, **settings)


def test_spectra_without_a_pixel_are_refused(toy_model, toy_spectra):
    dead = toy_spectra.replace(mask=np.ones_like(toy_spectra.mask))
    with pytest.raises(DataError, match="at least one spectrum"):
        sensitivity(toy_model, dead)


def test_the_mean_baseline_leaves_masked_pixels_out(toy_spectra):
    flux = baseline_flux(toy_spectra, "mean")
    pixel = int(np.flatnonzero(toy_spectra.mask.any(axis=0) & ~toy_spectra.mask.all(axis=0))[0])
    good = ~toy_spectra.mask[:, pixel]
    assert flux[pixel] == pytest.approx(toy_spectra.flux[good, pixel].mean(), rel=1e-5)


@pytest.mark.parametrize("how", ["mask", "replace"])
def test_windows_tile_the_chips_and_matter_where_the_slope_is(toy_model, toy_spectra, how):
    grid = toy_model.prepare(toy_spectra).grid
    spans = windows_of(grid, 20.0)
    inside = np.zeros(grid.n_pixels, dtype=int)
    for a, b in spans:
        inside[a:b] += 1
    assert np.array_equal(inside, np.isin(np.arange(200), np.r_[0:90, 100:200]).astype(int))
    found = occlusion(toy_model, toy_spectra, how=how, width=20.0)
    assert found.mean.shape == (len(spans), 2)
    assert np.all(found.size >= np.abs(found.mean) - 1e-9)
    assert found.size.max() > 0


def test_occlusion_refuses_what_it_cannot_do(toy_model, toy_spectra):
    with pytest.raises(ConfigError, match="how must be"):
        occlusion(toy_model, toy_spectra, how="blur")
    with pytest.raises(ConfigError, match="positive"):
        occlusion(toy_model, toy_spectra, width=-1.0)


def test_slopes_of_one_star_do_not_depend_on_others(toy_model, toy_spectra):
    inputs = toy_model.inputs(toy_model.prepare(toy_spectra))
    scaled = np.zeros((6, 2))
    together = slopes(toy_model, inputs, scaled)
    assert np.allclose(together[2:3], slopes(toy_model, inputs[2:3], scaled[2:3]), rtol=1e-4)
