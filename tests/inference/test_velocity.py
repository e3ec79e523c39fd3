import numpy as np
import pytest

from starnet.errors import GridError
from starnet.inference import measure_velocity, to_rest
from starnet.spectra import concatenate
from tests.inference import stand_ins


@pytest.fixture(scope="module")
def emulator():
    return stand_ins.emulator()


@pytest.fixture(scope="module")
def truth():
    return stand_ins.labels_of(6)


@pytest.mark.parametrize("velocity", [-412.3, -7.9, 55.0, 300.0])
def test_velocities_are_found(emulator, truth, velocity):
    found = measure_velocity(stand_ins.observed(truth, snr=40, shift=velocity), emulator)
    assert np.allclose(found.value, velocity, atol=0.6)
    assert found.good.all()
    assert np.all((found.error > 0.01) & (found.error < 1.0))


def test_masks_and_unknown_errors(emulator, truth):
    spectra = stand_ins.observed(truth, shift=55.0)
    mask = np.random.default_rng(0).random(spectra.mask.shape) < 0.2
    flux = np.where(mask, -1e5, spectra.flux)
    found = measure_velocity(spectra.replace(flux=flux, mask=mask), emulator)
    assert np.allclose(found.value, 55.0, atol=0.6)
    unknown = spectra.replace(ivar=np.zeros_like(spectra.ivar))
    assert np.allclose(measure_velocity(unknown, emulator).value, 55.0, atol=0.6)
    dead = measure_velocity(spectra.replace(mask=np.ones_like(mask)), emulator)
    assert np.isnan(dead.value).all()
    assert not dead.good.any()


def test_noise_and_two_stars_at_once_are_not_good(emulator, truth):
    spectra = stand_ins.observed(truth, shift=30.0)
    noise = 300 * (1 + 0.02 * np.random.default_rng(2).standard_normal(spectra.flux.shape))
    assert not measure_velocity(spectra.replace(flux=noise), emulator).good.any()
    second = stand_ins.observed(truth, shift=-90.0)
    both = spectra.replace(flux=0.5 * (spectra.flux + second.flux))
    assert not measure_velocity(both, emulator).good.any()


def test_the_velocity_of_the_file_is_kept_where_the_spectrum_agrees(emulator, truth):
    kinds = [("right", 55.4), ("wrong", -300.0), ("missing", np.nan)]
    rows = [stand_ins.observed(truth[:1], shift=55.0, rv=rv) for _, rv in kinds]
    rest = to_rest(concatenate(rows), emulator)
    assert rest.frame == "rest"
    assert rest.meta["rv"][0] == 55.4
    assert np.allclose(rest.meta["rv"][1:], 55.0, atol=0.6)
    assert np.isnan(rest.meta["rv_err"][0])
    assert np.all(rest.meta["rv_err"][1:] < 1)
    assert not np.any(rest.meta["rv_bad"])


def test_spectra_without_lines_keep_a_velocity_with_a_flag(emulator, truth):
    spectra = stand_ins.observed(truth, shift=55.0, rv=20.0)
    noise = 300 * (1 + 0.02 * np.random.default_rng(2).standard_normal(spectra.flux.shape))
    rest = to_rest(spectra.replace(flux=noise), emulator)
    assert np.all(rest.meta["rv"] == 20.0)
    assert np.all(rest.meta["rv_bad"])
    plain = to_rest(stand_ins.observed(truth, shift=55.0, rv=np.nan), None)
    assert plain.mask.all()


def test_only_emulators_even_in_log_wavelength_measure(emulator, truth):
    from starnet.spectra import WavelengthGrid

    linear = emulator.on(WavelengthGrid.linear(15200, 0.2, 1500, "vacuum"))
    with pytest.raises(GridError, match="log wavelength"):
        measure_velocity(stand_ins.observed(truth), linear)
