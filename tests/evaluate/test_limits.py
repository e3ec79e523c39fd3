"""The Cramer-Rao limit against finite differences, Monte Carlo, and what cannot be known."""

from typing import Any

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError, DataError, LabelError
from starnet.evaluate import cramer_rao, robust_scatter
from starnet.evaluate.limits import nuisances, spectra_and_slopes
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.spectra import Labels, LineSpread, WavelengthGrid
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull
from starnet.synthesis.observe import broaden

NAMES = ("teff", "logg", "fe_h", "mg_fe")
LOW, HIGH = np.array([4000.0, 1.0, -1.0, -0.3]), np.array([6000.0, 5.0, 0.5, 0.5])
P = 150


def tiny(silent=()):
    """A small random emulator of four labels; the silent ones leave no trace."""
    torch.manual_seed(3)
    network: Any = EmulatorNetwork(EmulatorConfig(4, P, components=12, hidden=(8, 8)))
    rng = np.random.default_rng(3)
    x = np.arange(P)
    lines = np.exp(-0.5 * ((x - rng.uniform(5, P - 5, (12, 1))) / 2.0) ** 2)
    network.basis.copy_(torch.as_tensor(-0.2 * lines).float())
    network.low.copy_(torch.as_tensor(LOW).float())
    network.high.copy_(torch.as_tensor(HIGH).float())
    with torch.no_grad():
        network.head.bias.fill_(1.0)
        for i in silent:
            network.layers[0].weight[:, i] = 0
            network.bypass.weight[:, i] = 0
    points = np.random.default_rng(0).uniform(LOW, HIGH, (200, 4))
    hull = LabelHull.of(NAMES, LOW, HIGH, points)
    lsf = LineSpread(resolution=22500.0)
    grid = WavelengthGrid.log10(4.19, 6e-6, P, "vacuum", chips=((0, 70), (80, P)), lsf=lsf)
    return Emulator(network.eval(), hull, grid)


def stars(n=3):
    rng = np.random.default_rng(1)
    return Labels(NAMES, LOW + (HIGH - LOW) * rng.uniform(0.3, 0.7, (n, 4)))


def test_derivatives_are_those_of_differences():
    emulator, labels = tiny(), stars()
    _, slopes = spectra_and_slopes(emulator, labels)
    for i, step in enumerate((2.0, 0.005, 0.005, 0.005)):
        up, down = np.array(labels.values), np.array(labels.values)
        up[:, i] += step
        down[:, i] -= step
        ends = [spectra_and_slopes(emulator, Labels(NAMES, v))[0] for v in (up, down)]
        difference = (ends[0] - ends[1]) / (2 * step)
        assert np.allclose(difference, slopes[:, i], atol=5e-3 * np.abs(slopes[:, i]).max())


def test_errors_are_the_root_of_the_inverse_information():
    emulator, labels = tiny(), stars()
    ivar = np.random.default_rng(2).uniform(0, 4e4, (3, P))
    _, slopes = spectra_and_slopes(emulator, labels)
    for star, error in enumerate(cramer_rao(emulator, labels, ivar=ivar, batch=2)):
        inverse = np.linalg.inv((slopes[star] * ivar[star]) @ slopes[star].T)
        assert np.allclose(error, np.sqrt(np.diag(inverse)), rtol=1e-5)
    alone = cramer_rao(emulator, labels, ivar=ivar, known=NAMES[1:])
    assert np.all(alone[:, 1:] == 0)
    assert np.allclose(alone[:, 0], np.sum(slopes[:, 0] ** 2 * ivar, axis=1) ** -0.5)


def test_a_fit_reaches_the_limit():
    emulator, labels = tiny(), stars(1)
    snr, many = 2000.0, 1500
    flux, slopes = spectra_and_slopes(emulator, labels)
    inside = np.zeros(P, dtype=bool)
    inside[:70] = inside[80:] = True
    rng = np.random.default_rng(4)
    seen = flux + rng.standard_normal((many, P)) / snr
    found = np.repeat(labels.values, many, axis=0)
    solve = np.linalg.pinv(slopes[0][:, inside].T)
    for _ in range(6):  # Gauss-Newton with the slopes at the truth
        model = spectra_and_slopes(emulator, Labels(NAMES, found))[0]
        found = found + (seen - model)[:, inside] @ solve.T
    scatter = np.array([robust_scatter(v) for v in (found - labels.values).T])
    assert np.allclose(scatter, cramer_rao(emulator, labels, snr=snr)[0], rtol=0.08)


def test_more_unknowns_and_more_noise_make_errors_larger():
    emulator, labels = tiny(), stars()
    plain = cramer_rao(emulator, labels, snr=100.0)
    assert np.allclose(cramer_rao(emulator, labels, snr=[50.0] * 3), 2 * plain)
    before = plain
    extra: dict[str, Any]
    for extra in ({"continuum": 1}, {"continuum": 1, "rv": True},
                  {"continuum": 1, "rv": True, "broadening": True}):  # fmt: skip
        after = cramer_rao(emulator, labels, snr=100.0, **extra)
        assert np.all(after > before * (1 - 1e-9))
        before = after
    broad = Labels((*NAMES, "vmac"), np.column_stack([labels.values, np.full(3, 8.0)]))
    assert np.all(cramer_rao(emulator, broad, snr=100.0).mean(axis=0) > plain.mean(axis=0))


def test_spectra_are_broadened_as_every_engine_does():
    emulator, labels = tiny(), stars()
    speed = {"vmac": np.array([3.0, 0.0, 8.0]), "vsini": np.array([0.0, 0.0, 5.0])}
    columns = np.column_stack([labels.values, *speed.values()])
    flux = spectra_and_slopes(emulator, labels)[0]
    broad = spectra_and_slopes(emulator, Labels((*NAMES, *speed), columns))[0]
    assert np.allclose(broad, broaden(flux, emulator.grid, **speed), atol=1e-10)


def test_velocity_and_width_are_as_differences_give_them():
    grid, speed = tiny().grid, np.log(tiny().grid.wavelength) * 299792.458

    def line(shift, sigma):
        return 1 - 0.4 * 8.0 / sigma * np.exp(-0.5 * ((speed - speed[40] - shift) / sigma) ** 2)

    rows = nuisances(grid, line(0.0, 8.0)[None], None, True, True)[0]
    by_shift = (line(0.01, 8.0) - line(-0.01, 8.0)) / 0.02
    wider = np.sqrt(64.0 + 0.01)
    by_width = (line(0.0, wider) - line(0.0, 8.0)) / 0.01
    for row, truth in zip(rows, (by_shift, by_width), strict=True):
        assert np.allclose(row[:65], truth[:65], atol=0.03 * np.abs(truth).max())


def test_what_leaves_no_trace_has_no_limit():
    emulator, labels = tiny(silent=(3,)), stars()
    errors = cramer_rao(emulator, labels, snr=100.0, continuum=0)
    assert np.all(np.isinf(errors[:, 3]))
    assert np.all(np.isfinite(errors[:, :3]))
    assert np.all(np.isinf(cramer_rao(emulator, labels, ivar=np.zeros(P))))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ConfigError, "either ivar or snr"),
        ({"snr": 3, "ivar": 3}, ConfigError, "either ivar or snr"),
        ({"snr": -1}, ConfigError, "snr must be finite"),
        ({"snr": [1, 2]}, DataError, "3 of them"),
        ({"ivar": np.full(P, np.nan)}, ConfigError, "ivar must be finite"),
        ({"ivar": np.ones(7)}, DataError, "emulator.on"),
        ({"snr": 9, "continuum": -1}, ConfigError, "continuum must be an order"),
        ({"snr": 9, "known": ["vsini"]}, LabelError, "known names vsini"),
    ],
)
def test_wrong_settings_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        cramer_rao(tiny(), stars(), **options)
