"""The published models of real APOGEE spectra that the benchmark of real stars reads."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def generators():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("_generators")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(
    ("name", "n"), [("cannon_dr10", 548), ("cannon_apokasc", 1801), ("binspec", 400)]
)
def test_generators_give_stars_on_apogee_pixels(generators, shared_data, name, n):
    made = generators.GENERATORS[name](shared_data)
    spectra, good = made.spectra, ~made.spectra.mask
    assert len(made) == len(made.labels) == len(spectra) == n
    assert made.labels.names[:3] == ("teff", "logg", "fe_h")
    assert spectra.grid.matches(spectra.grid.log10(4.179, 6e-6, 8575, "vacuum"))
    assert spectra.frame == "rest"
    assert spectra.grid.medium == "vacuum"
    assert good.sum(axis=1).max() == 7214
    assert np.all(spectra.ivar[good] > 0)
    level = np.median(np.where(good, spectra.flux, np.nan)[:, 400:3200], axis=1)
    assert np.all((level > 0.8) & (level < 1.05))


def test_generators_agree_on_a_giant(generators, shared_data):
    """Two models of different stars and labels show the same lines: pixels and terms are right."""
    one = generators.cannon_apokasc(shared_data)
    other = generators.cannon_dr10(shared_data)
    scale = np.array([100.0, 0.3, 0.15])
    gap = one.labels.values[:, None, :3] - other.labels.values[None]
    distance = np.sum((gap / scale) ** 2, axis=-1)
    i, j = np.unravel_index(np.argmin(distance), distance.shape)
    a, b = one.spectra.flux[i, 3700:6000], other.spectra.flux[j, 3700:6000]
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_noise_follows_the_inverse_variance(generators, shared_data):
    stars = generators.cannon_apokasc(shared_data)[:5]
    noisy = stars.noisy(seed=1)
    gap = (noisy.spectra.flux - stars.spectra.flux) * np.sqrt(stars.spectra.ivar)
    assert np.std(gap[~stars.spectra.mask]) == pytest.approx(1.0, abs=0.03)
