import numpy as np
import pytest

from starnet.errors import DataError
from starnet.plots import cycle_panels, save


@pytest.fixture
def star():
    rng = np.random.default_rng(0)
    wave = np.linspace(5000, 5100, 300)
    model = 1 - 0.3 * np.exp(-(((wave - 5040) / 2) ** 2))
    used = rng.random(300) > 0.1
    flux = np.where(used, model + 0.01 * rng.standard_normal(300), 99.0)
    return wave, flux, model, np.full(300, 0.01), used


def test_each_chip_has_spectrum_and_residual(star, tmp_path):
    figure = cycle_panels(*star, chips=((0, 140), (150, 300)), title="a star")
    assert len(figure.axes) == 4
    assert figure.axes[0].get_ylim()[1] < 1.3  # pixels that are not used have no say
    assert save(figure, tmp_path / "cycle.png").stat().st_size > 10_000


def test_a_spectrum_without_errors_or_good_pixels(star):
    wave, flux, model, error, used = star
    cycle_panels(wave, flux, model, np.full_like(error, np.nan), used)
    cycle_panels(wave, flux, model, np.full_like(error, np.inf), np.zeros_like(used))


def test_lengths_must_agree(star):
    with pytest.raises(DataError, match="one length"):
        cycle_panels(star[0][:5], *star[1:])
