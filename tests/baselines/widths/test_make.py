"""Curves of growth are learnt from an engine, here a made-up one whose widths are known."""

import numpy as np
import pytest
import torch

from starnet.baselines.widths import make
from starnet.baselines.widths.choose import Chosen
from starnet.baselines.widths.curves import LABELS
from starnet.errors import DataError
from starnet.spectra import Labels
from starnet.synthesis.lines import LineList
from starnet.synthesis.lines.species import parse_species

LINES = LineList(
    wavelength=np.array([6000.0, 6003.0, 6004.0]),
    species=np.array([parse_species(ion) for ion in ("Fe I", "Fe I", "Fe II")]),
    excitation=np.array([4.0, 2.0, 3.0]),
    loggf=np.array([-1.0, -2.0, -2.0]),
)
COOLEST = 4500.0


class Gaussians:
    """Lines of Gaussian shape; their widths fall with teff and rise with fe_h. Calls as lte."""

    def __init__(self, atmospheres, lines, tables, **settings):
        self.lines = lines

    def clamped(self, labels):
        return Labels(labels.names, np.maximum(labels.values, [COOLEST, -9, -9, 0]))

    def emergent(self, labels, grid, *, outside):
        assert labels.names == LABELS
        assert outside == "clamp"
        width = true_widths(labels.values)
        off = grid.wavelength - self.lines.wavelength[:, None]
        shape = np.exp(-0.5 * (off / 0.06) ** 2) / (0.06 * np.sqrt(2 * np.pi))
        return 1 - width @ shape, np.ones((len(labels), grid.n_pixels))


def true_widths(stars: np.ndarray) -> np.ndarray:
    """Angstrom, (N, 3)."""
    log = -3 - (stars[:, :1] - 5500) / 1500 + 0.5 * stars[:, 2:3]
    return np.exp(log + 0.1 * np.arange(3))


@pytest.fixture
def chosen(monkeypatch):
    """Three lines, and the made-up engine in place of ours."""
    monkeypatch.setattr(make, "LteSynthesizer", Gaussians)
    return Chosen(LINES, np.array([[6001.0, 6002.0]]))


def test_stars_are_the_same_with_the_same_seed():
    one = make.sample_stars(50, 3)
    np.testing.assert_array_equal(one, make.sample_stars(50, 3))
    assert not np.array_equal(one, make.sample_stars(50, 4))
    assert np.all((one >= make.LOW) & (one <= make.HIGH))


def test_widths_are_those_of_the_engine():
    stars = make.sample_stars(6, 0)
    told = []
    got = make.widths_of(Gaussians(None, LINES, None), LINES.wavelength, stars, told.append)
    np.testing.assert_allclose(got, true_widths(stars), rtol=1e-3)
    assert told == [4, 6]
    with pytest.raises(DataError, match="in order of wavelength"):
        make.widths_of(Gaussians(None, LINES, None), LINES.wavelength[::-1], stars)


def test_curves_go_through_the_widths_and_the_seed_makes_them_again(chosen):
    one, again = (make.make_curves(None, chosen, None, stars=60, steps=150) for _ in range(2))
    stars = make.sample_stars(40, 1)
    stars = stars[stars[:, 0] > COOLEST]
    got, other = (c.log_width(torch.as_tensor(stars))[0].numpy() for c in (one, again))
    np.testing.assert_array_equal(got, other)
    expected = np.log(true_widths(stars) / LINES.wavelength)
    assert np.median(np.abs(got - expected)) < 0.15
    assert list(one.ionised) == [False, False, True]
