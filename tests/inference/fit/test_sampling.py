import sys

import numpy as np
import pytest

from starnet.errors import ConfigError, DataError, MissingDependencyError
from starnet.inference.fit import fit_spectra, sample_cluster, sample_posterior

PLAIN = {"rv": False, "broadening": False, "continuum_order": None}
QUICK = {"samples": 100, "warmup": 60, "chains": 1}


def test_the_posterior_agrees_with_the_covariance_of_the_fit(emulator, make):
    pytest.importorskip("pyro")
    made = make(1, snr=300, seed=4)
    found = sample_posterior(emulator, made.spectra, samples=150, warmup=60, chains=1, **PLAIN)
    assert found.names == emulator.labels
    ratio = np.sqrt(np.diag(found.covariance) / np.diag(found.fit.covariance[0]))
    assert np.all((ratio > 0.7) & (ratio < 1.35))
    off = (found.samples.mean(axis=0) - found.fit.labels.values[0]) / found.fit.labels.errors[0]
    assert np.abs(off).max() < 0.5
    assert found.r_hat.max() < 1.1
    assert found.divergences < 10
    assert found.to_table()["q50"][0] == pytest.approx(np.median(found.column("teff")))


def test_truths_lie_where_the_posterior_says(emulator, make):
    pytest.importorskip("pyro")
    ranks = []
    for seed in range(2):
        made = make(1, seed=10 + seed, moving=True)
        found = sample_posterior(emulator, made.spectra, continuum_order=2, seed=seed, **QUICK)
        truth = np.r_[made.labels[0], made.rv, made.broadening]
        ranks.append((found.samples < truth).mean(axis=0))
        assert found.names[-2:] == ("rv", "broadening")
    assert np.all((np.array(ranks) > 0.001) & (np.array(ranks) < 0.999))
    assert 0.15 < np.mean(ranks) < 0.85


def test_the_quadratic_form_is_chi_square(emulator, make):
    import torch

    from starnet.inference.fit.sampling import around

    made = make(2, snr=100)
    form, fit = around(emulator, made.spectra, None, PLAIN)
    near = form.x + 0.05
    labels, _ = form.parameters.unpack(near, form.labels, torch.zeros(2, 2))
    with torch.no_grad():
        flux = emulator.on(made.spectra.grid).flux(labels.float()).numpy()
        rise = (form.chi2(near) - form.chi2(form.x)).numpy()
    chips = np.r_[0:190, 210:400]
    chi2 = (made.spectra.ivar * (made.spectra.flux - flux) ** 2)[:, chips].sum(axis=1)
    assert np.allclose(rise, chi2 - fit.chi2, rtol=1e-2)


def test_mean_and_spread_of_a_cluster(emulator, make):
    pytest.importorskip("pyro")
    made = make(4, snr=300, width=np.array([300, 0.6, 0.1, 0.1, 0.1]))
    few = {"samples": 60, "warmup": 50, "chains": 1}
    found = sample_cluster(emulator, made.spectra, labels=["fe_h"], **few, **PLAIN)
    assert found.names == ("mean_fe_h", "spread_fe_h")
    low, high = found.interval(0.99)[0]
    assert low < made.labels[:, 2].mean() < high
    assert found.column("spread_fe_h").min() > 0
    assert found.interval(0.99)[1, 0] < made.labels[:, 2].std() < found.interval(0.99)[1, 1]


def test_wrong_requests_are_refused_with_a_sentence(emulator, make):
    pytest.importorskip("pyro")
    spectra = make(2).spectra
    with pytest.raises(DataError, match="one spectrum; received 2"):
        sample_posterior(emulator, spectra)
    with pytest.raises(DataError, match="two spectra or more"):
        sample_cluster(emulator, spectra[0])
    with pytest.raises(ConfigError, match="samples must be"):
        sample_posterior(emulator, spectra[0], samples=1)
    with pytest.raises(ConfigError, match="fe_x was given"):
        sample_cluster(emulator, spectra, labels=["fe_x"], **PLAIN)
    dead = spectra.replace(mask=np.ones_like(spectra.mask))
    with pytest.raises(DataError, match="cannot be fitted"):
        sample_posterior(emulator, dead[0])


def test_without_pyro_the_message_says_how_to_install_it(emulator, make, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyro", None)
    with pytest.raises(MissingDependencyError, match=r"starnet\[posterior\]"):
        sample_posterior(emulator, make(1).spectra)
    assert fit_spectra(emulator, make(1).spectra).converged.all()
