import numpy as np
import pytest

from starnet.inference._ordinary import KNOTS, at_knots, fit_limits


def rippled(n, seed):
    """Mean squares of noise, which falls with S/N, and of ripples up to 2, as `waves` has them."""
    rng = np.random.default_rng(seed)
    snr = np.exp(rng.uniform(np.log(20), np.log(400), n))
    noise = 0.5 * (35 / snr) ** 2 * rng.chisquare(60, n) / 60
    ripples = 2.0 * np.exp(rng.uniform(np.log(0.01), 0, n)) * rng.chisquare(40, n) / 40
    return noise + ripples, rng.chisquare(100, n) / 100, snr


def test_limits_leave_the_share_outside_at_every_signal_to_noise():
    waves, pixels, snr = rippled(3000, 1)
    limits = fit_limits({"waves": waves, "other": pixels}, snr, 0.01)
    waves, pixels, snr = rippled(20000, 2)
    at = np.exp(at_knots(np.log(limits), snr))
    outside = (waves > at[:, 0]) | (pixels > at[:, 1])
    for low, high in ((20, 50), (50, 120), (120, 400)):
        some = (snr > low) & (snr < high)
        assert 0.003 < outside[some].mean() < 0.025
    assert limits[-1, 0] == pytest.approx(np.quantile(waves[snr > 150], 0.995), rel=0.25)


def test_limits_are_never_below_what_real_stars_differ_by():
    waves, _, snr = rippled(1000, 3)
    limits = fit_limits({"emulator": 0.1 * waves, "waves": waves / 100}, snr, 0.01)
    assert limits.shape == (len(KNOTS), 2)
    assert np.all(limits[:, 0] == 3.0)
    assert np.all(limits[:, 1] == 1.0)


def test_what_never_counts_takes_no_share():
    waves, other, snr = rippled(4000, 4)
    limits = fit_limits({"waves": waves, "emulator": other, "pixels": other}, snr, 0.01)
    at = np.exp(at_knots(np.log(limits), snr))
    assert np.mean(waves > at[:, 0]) == pytest.approx(0.01, abs=0.002)
