"""Widths are measured as they are, and labels are those that bring the lines into balance."""

import numpy as np
import pytest
import torch

from starnet.baselines.widths import EquivalentWidths
from starnet.baselines.widths.curves import LABELS, Curves, shipped_curves
from starnet.baselines.widths.measure import Widths, measure
from starnet.baselines.widths.solve import solve
from starnet.errors import LabelError, ModelError, TrainingError
from starnet.spectra import Labels, LineSpread, Spectra, WavelengthGrid
from starnet.synthesis.composition import vmic_relation
from tests.baselines.optical import optical_stars


@pytest.fixture(scope="module")
def stars():
    """Twenty of them, with their labels and all that the curves want."""
    spectra, labels = optical_stars(20, seed=9)
    return spectra, np.column_stack([labels.values, vmic_relation(labels.values[:, 1])]), labels


@pytest.fixture(scope="module")
def measured(stars) -> Widths:
    """Their widths."""
    curves = shipped_curves()
    return measure(stars[0], curves.wavelength, curves.windows)


def test_widths_are_what_they_are(stars, measured):
    truth = shipped_curves().log_width(torch.as_tensor(stars[1]))[0].numpy()
    good = np.isfinite(measured.log_width)
    assert good.sum(axis=1).min() > 15
    off = (measured.log_width - truth)[good]
    assert abs(np.median(off)) < 0.01
    pull = off / measured.error[good]
    assert 0.5 < 1.4826 * np.median(np.abs(pull)) < 1.3
    assert np.percentile(np.abs(off), 95) < 0.2


def test_a_shifted_star_is_followed(stars, measured):
    spectra = stars[0]
    shifted = Spectra(spectra.grid.shifted(3.0), spectra.flux, spectra.ivar, spectra.mask)
    curves = shipped_curves()
    again = measure(shifted, curves.wavelength, curves.windows)
    apart = again.velocity - measured.velocity
    np.testing.assert_allclose(np.abs(apart), 3.0 / 299792.458, rtol=0.1)
    both = np.isfinite(again.log_width) & np.isfinite(measured.log_width)
    assert np.median(np.abs(again.log_width - measured.log_width)[both]) < 0.01


def test_a_blended_line_is_rejected(stars, measured):
    spectra, curves = stars[0], shipped_curves()
    row = int(np.flatnonzero(np.isfinite(measured.log_width).all(axis=0))[0])
    at = curves.wavelength[row] + 0.11
    blend = 0.35 * np.exp(-0.5 * ((spectra.grid.wavelength - at) / 0.065) ** 2)
    again = measure(spectra.replace(flux=spectra.flux - blend), curves.wavelength, curves.windows)
    assert np.isnan(again.log_width[:, row]).mean() > 0.8


def test_exact_widths_give_exact_labels(stars):
    curves, truth = shipped_curves(), stars[1]
    exact = curves.log_width(torch.as_tensor(truth))[0].numpy()
    usable = (exact > np.log(1e-6)) & (exact < np.log(2.2e-5))
    widths = Widths(
        np.where(usable, exact, np.nan), np.full(exact.shape, 0.02),
        np.zeros(len(exact)), np.full(len(exact), 1e-5),
    )  # fmt: skip
    balance = solve(widths, curves, np.zeros(len(curves)))
    assert np.all(np.abs(balance.values - truth) < [3.0, 0.01, 0.01, 0.02])
    trends = balance.trends(curves, widths.log_width)
    for name in ("excitation", "strength", "ionisation"):
        assert np.max(np.abs(trends[name])) < 0.01


def test_labels_of_noisy_stars(stars):
    spectra, _, labels = stars
    got = EquivalentWidths(zero_points=False).fit(spectra, labels).predict(spectra)
    off = got.values - labels.values
    assert np.all(1.4826 * np.median(np.abs(off), axis=0) < [60, 0.15, 0.06])
    pull = 1.4826 * np.median(np.abs(off / got.errors), axis=0)
    assert np.all((pull > 0.3) & (pull < 2.0))


def test_zero_points_undo_wrong_strengths(stars):
    spectra, _, labels = stars
    curves = shipped_curves()
    wrong = np.random.default_rng(1).normal(0, 0.15, len(curves))
    network = curves.network
    moved = type(network)(network.config)
    moved.load_state_dict(network.state_dict())
    with torch.no_grad():
        moved.mean += torch.as_tensor(wrong).float()
    parts = {k: v for k, v in vars(curves).items() if k != "network"}
    fitted = EquivalentWidths().fit(spectra, labels)
    other = Curves(**parts, network=moved)
    widths = measure(spectra, curves.wavelength, curves.windows)
    known = np.column_stack([labels.values, vmic_relation(labels.values[:, 1])])
    balance = solve(widths, other, np.zeros(len(curves)), known)
    used = np.isfinite(balance.abundance).sum(axis=0) > 8
    zero = np.nanmedian((balance.abundance - balance.values[:, 2:3])[:, used], axis=0)
    assert np.corrcoef(zero, -wrong[used])[0, 1] > 0.9
    assert np.abs(fitted.zero[used]).mean() < 0.3 * np.abs(zero).mean()


@pytest.mark.parametrize(
    "grid",
    [
        WavelengthGrid.linear(3540.5, 0.9, 4300, "air", lsf=LineSpread(fwhm=2.5)),
        WavelengthGrid.log10(4.179, 6e-6, 8575, "vacuum", lsf=LineSpread(resolution=22500.0)),
    ],
)
def test_spectra_without_such_lines_are_refused(grid):
    flux = np.ones((3, grid.n_pixels))
    labels = Labels(("teff", "logg", "fe_h"), [[5000, 2, 0], [5500, 4, -0.1], [4500, 1, -1]])
    with pytest.raises(TrainingError, match="has 0 and 0"):
        EquivalentWidths().fit(Spectra(grid, flux), labels)


def test_other_labels_are_refused(stars):
    spectra, _, labels = stars
    more = Labels((*labels.names, "mg_fe"), np.column_stack([labels.values, labels.values[:, 2]]))
    with pytest.raises(LabelError, match="received mg_fe"):
        EquivalentWidths().fit(spectra, more)


def test_curves_are_saved_and_damage_is_told(tmp_path):
    curves = shipped_curves()
    path = tmp_path / "curves.safetensors"
    curves.save(path)
    back = Curves.read(path)
    at = torch.tensor([[5777.0, 4.44, 0.0, 1.0]])
    assert torch.equal(back.log_width(at)[0], curves.log_width(at)[0])
    assert LABELS[0] == "teff"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="is damaged"):
        Curves.read(path)
    with pytest.raises(ModelError, match="There is no file"):
        Curves.read(tmp_path / "none")
