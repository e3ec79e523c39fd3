import numpy as np
import pytest

from starnet.errors import FrameError, LabelError
from starnet.inference import LabelFlag, cycle
from starnet.spectra import Labels
from tests.inference import stand_ins


@pytest.fixture(scope="module")
def emulator():
    return stand_ins.emulator()


@pytest.fixture(scope="module")
def truth():
    return stand_ins.labels_of(12)


def against(emulator, labels, spectra, **kw):
    return cycle(Labels(stand_ins.NAMES, labels), spectra, emulator, **kw)


def test_good_stars_are_good(emulator, truth):
    seen = against(emulator, truth, stand_ins.observed(truth), keep=True)
    assert not seen.flags.any()
    assert np.all((seen.chi2 > 0.2) & (seen.chi2 < 1.3))
    assert seen.explained.min() > 0.9
    assert np.abs(seen.velocity).max() < 1.0
    good = seen.used
    assert np.std(seen.residual[good]) == pytest.approx(1 / 80, rel=0.15)
    assert not good[:, 900:950].any()


def test_a_small_velocity_is_measured_and_a_larger_one_flagged(emulator, truth):
    near = against(emulator, truth, stand_ins.observed(truth, shift=1.5, frame="rest"))
    assert np.median(near.velocity) == pytest.approx(1.5, abs=0.2)
    assert not near.flags.any()
    far = against(emulator, truth, stand_ins.observed(truth, shift=60.0, frame="rest"))
    assert far.poor.all()


def test_other_stars_other_lines_and_no_lines_are_poor_fits(emulator, truth):
    other = stand_ins.observed(truth, seed=7)
    assert against(emulator, truth, other).poor.all()
    flat = other.replace(flux=np.full_like(other.flux, 300.0))
    assert against(emulator, truth, flat).poor.all()
    low, high = stand_ins.LOW[None] + 0.1, stand_ins.HIGH[None] - 0.1
    assert against(emulator, low, stand_ins.observed(high, snr=200)).poor.all()


def test_emission_lines_are_seen_and_cosmic_rays_are_none(emulator, truth):
    spectra = stand_ins.observed(truth)
    flux = np.array(spectra.flux)
    broad = np.exp(-0.5 * ((np.arange(2000) - 999) / 20) ** 2)  # Brackett 18
    flux[0] += 300 * broad
    flux[1, 400:403] += 3000
    flags = against(emulator, truth, spectra.replace(flux=flux)).flags
    assert flags[0] & LabelFlag.EMISSION
    assert not flags[1] & LabelFlag.EMISSION


def test_labels_outside_and_missing(emulator, truth):
    labels = np.array(truth)
    labels[0, 0], labels[1, 0], labels[2, 2] = 9000.0, np.nan, -3.5
    seen = against(emulator, labels, stand_ins.observed(truth))
    assert seen.flags[0] & LabelFlag.OUTSIDE_HULL
    assert seen.flags[2] & LabelFlag.OUTSIDE_HULL
    assert np.isnan(seen.chi2[1])
    assert seen.flags[1] == 0


def test_masked_pixels_empty_chips_and_unknown_errors_do_no_harm(emulator, truth):
    spectra = stand_ins.observed(truth)
    mask = np.random.default_rng(0).random(spectra.mask.shape) < 0.1
    mask[0] = True
    mask[1, :950] = True
    flux = np.where(mask, 1e6, spectra.flux)
    seen = against(emulator, truth, spectra.replace(flux=flux, mask=mask))
    assert np.isnan(seen.chi2[0])
    assert not seen.flags.any()
    unknown = stand_ins.observed(truth).replace(ivar=np.zeros_like(spectra.ivar))
    assert not against(emulator, truth, unknown).flags.any()


def test_company_and_flux_unit_do_not_matter(emulator, truth):
    spectra = stand_ins.observed(truth)
    together = against(emulator, truth, spectra)
    alone = against(emulator, truth[4:5], spectra[4])
    assert together.chi2[4] == pytest.approx(alone.chi2[0], rel=1e-3)
    bright = spectra.replace(flux=spectra.flux * 1e4, ivar=spectra.ivar * 1e-8)
    assert np.allclose(together.chi2, against(emulator, truth, bright).chi2, rtol=1e-2)


def test_what_cannot_be_compared_is_refused(emulator, truth):
    with pytest.raises(FrameError, match="at rest"):
        against(emulator, truth, stand_ins.observed(truth, shift=30.0))
    with pytest.raises(LabelError, match="as many labels"):
        against(emulator, truth[:3], stand_ins.observed(truth))
    assert len(against(emulator, truth[:0], stand_ins.observed(truth)[[]])) == 0


def test_a_missing_abundance_does_not_keep_a_star_from_its_cycle(toy_emulator):
    names = toy_emulator.labels
    values = np.array([[5200.0, 2.5, -0.3, 1.5, -0.05, 0.15]] * 2)  # in the middle where missing
    made = toy_emulator.synthesize(Labels(names, values), toy_emulator.grid)
    spectra = made.spectra().replace(ivar=np.full((2, 600), 1e4))
    values[1, 4] = np.nan
    seen = cycle(Labels(names, values), spectra, toy_emulator)
    assert np.isfinite(seen.chi2).all()
    assert np.allclose(seen.chi2, seen.chi2[0], atol=0.1)
    values[0, 1] = np.nan  # without log g there is none
    assert np.isnan(cycle(Labels(names, values), spectra, toy_emulator).chi2[0])
