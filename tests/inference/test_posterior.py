"""Posteriors: the same numbers as scipy and as their own draws, star by star."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from starnet.errors import ConfigError, DataError
from starnet.inference import LabelPosterior, MixturePosterior, SampledPosterior

NAMES = ("teff", "logg", "fe_h")
UNITS = np.array([100.0, 0.2, 0.05])
LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)


def covariances(rng, *shape):
    root = rng.normal(size=(*shape, 3, 3))
    return (root @ np.swapaxes(root, -1, -2) + 0.2 * np.eye(3)) * np.outer(UNITS, UNITS)


def mixture(n=6, k=2, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(k), n)
    means = np.array([5000.0, 2.5, -0.3]) + 3 * UNITS * rng.normal(size=(n, k, 3))
    return MixturePosterior(NAMES, weights, means, covariances(rng, n, k))


def sampled(n=6, seed=0, draws=400):
    made = mixture(n, seed=seed)
    return SampledPosterior(NAMES, made.samples(draws, seed), lambda v, rows: -rows.astype(float))


MAKERS = [lambda: mixture(k=1), lambda: mixture(k=3), sampled]
every = pytest.mark.parametrize("make", MAKERS, ids=["normal", "mixture", "sampled"])


@every
def test_shapes_and_kinds(make):
    posterior = make()
    assert isinstance(posterior, LabelPosterior)
    assert len(posterior) == 6
    assert posterior.mean.shape == posterior.error.shape == (6, 3)
    assert posterior.covariance.shape == (6, 3, 3)
    assert posterior.quantiles(LEVELS).shape == (5, 6, 3)
    assert posterior.quantiles([]).shape == (0, 6, 3)
    assert posterior.samples(11).shape == (11, 6, 3)
    assert posterior.cdf(posterior.mean).shape == (6, 3)
    assert posterior.log_prob(posterior.mean).shape == (6,)
    assert "6 stars: teff, logg, fe_h" in repr(posterior)


@every
def test_quantiles_rise_and_are_the_inverse_of_the_cdf(make):
    posterior = make()
    found = posterior.quantiles(LEVELS)
    assert np.all(np.diff(found, axis=0) > 0)
    for level, values in zip(LEVELS, found, strict=True):
        assert posterior.cdf(values) == pytest.approx(level, abs=5e-3)
    low, high = posterior.interval(0.95)
    assert np.allclose([low, high], found[[0, -1]])


@every
@pytest.mark.parametrize("rows", [2, slice(1, 4), [4, 0], np.arange(6) > 2, slice(0, 0)])
def test_some_of_the_stars_are_those_stars(make, rows):
    posterior = make()
    some = posterior[rows]
    index = np.atleast_1d(np.arange(6)[rows])
    assert len(some) == len(index)
    assert np.array_equal(some.mean, posterior.mean[index])
    at = posterior.mean
    assert np.allclose(some.log_prob(at[index]), posterior.log_prob(at)[index])
    assert np.array_equal(some[::-1].mean, posterior.mean[index][::-1])


@every
def test_a_failed_star_stays_alone(make):
    posterior = make()
    if isinstance(posterior, MixturePosterior):
        means, cov = posterior.means.copy(), posterior.covariances.copy()
        means[1], cov[1], means[2, :, 0] = np.nan, np.nan, np.nan
        spoilt = MixturePosterior(NAMES, posterior.weights, means, cov)
    else:
        draws = posterior.draws.copy()
        draws[:, 1], draws[:, 2, 0] = np.nan, np.nan
        spoilt = SampledPosterior(NAMES, draws, posterior.density)
    lost = np.zeros((6, 3), dtype=bool)
    lost[1], lost[2, 0] = True, True
    values = posterior.mean
    for found, whole in (
        (spoilt.mean, posterior.mean),
        (spoilt.error, posterior.error),
        (spoilt.quantiles([0.2])[0], posterior.quantiles([0.2])[0]),
        (spoilt.cdf(values), posterior.cdf(values)),
        (spoilt.samples(50)[7], posterior.samples(50)[7]),
    ):
        assert np.array_equal(np.isnan(found), lost)
        assert np.allclose(found[~lost], whole[~lost])
    density = spoilt.log_prob(values)
    assert np.isnan(density[1])
    assert np.allclose(density[[0, 3, 4, 5]], posterior.log_prob(values)[[0, 3, 4, 5]])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0.01, 0.99))
def test_a_mixture_agrees_with_scipy(seed, k, level):
    posterior = mixture(2, k, seed)
    values = posterior.mean + UNITS * np.random.default_rng(seed).normal(size=(2, 3))
    sigma = np.sqrt(np.diagonal(posterior.covariances, axis1=2, axis2=3))
    for i in range(2):
        parts = [
            (w, stats.multivariate_normal(m, c))
            for w, m, c in zip(
                posterior.weights[i], posterior.means[i], posterior.covariances[i], strict=True
            )
        ]
        density = logsumexp([np.log(w) + p.logpdf(values[i]) for w, p in parts])
        assert posterior.log_prob(values)[i] == pytest.approx(density, rel=1e-6)
        below = stats.norm(posterior.means[i], sigma[i]).cdf(values[i])
        assert np.allclose(posterior.cdf(values)[i], posterior.weights[i] @ below)
    found = posterior.quantiles([level])[0]
    assert np.allclose(posterior.cdf(found), level, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100.0), st.floats(-50, 50))
def test_units_change_nothing(seed, factor, offset):
    first = mixture(3, 2, seed)
    second = MixturePosterior(
        NAMES, first.weights, first.means * factor + offset, first.covariances * factor**2
    )
    assert np.allclose(second.mean, first.mean * factor + offset)
    assert np.allclose(second.error, first.error * factor)
    assert np.allclose(second.quantiles([0.3]), first.quantiles([0.3]) * factor + offset)
    shifted = second.log_prob(second.mean)
    assert np.allclose(shifted, first.log_prob(first.mean) - 3 * np.log(factor))


def test_moments_are_those_of_the_draws():
    posterior = mixture(4, 3)
    draws = SampledPosterior(NAMES, posterior.samples(40_000, seed=3))
    assert np.allclose((draws.mean - posterior.mean) / posterior.error, 0, atol=0.03)
    scale = posterior.error[:, :, None] * posterior.error[:, None]
    assert np.allclose((draws.covariance - posterior.covariance) / scale, 0, atol=0.05)
    for level, values in zip(LEVELS, posterior.quantiles(LEVELS), strict=True):
        assert np.allclose(draws.cdf(values), level, atol=0.012)


def test_equal_seeds_give_equal_draws():
    posterior = mixture()
    assert np.array_equal(posterior.samples(5, seed=2), posterior.samples(5, seed=2))
    assert not np.array_equal(posterior.samples(5, seed=2), posterior.samples(5, seed=3))
    few = sampled(draws=20)
    assert len(np.unique(few.samples(20)[:, 0, 0])) == 20
    assert few.samples(50).shape == (50, 6, 3)


def test_an_ensemble_is_an_equal_mixture():
    first, second = mixture(seed=1, k=1), mixture(seed=2, k=3)
    both = MixturePosterior.of([first, second])
    values = first.mean
    assert np.allclose(both.cdf(values), 0.5 * (first.cdf(values) + second.cdf(values)))
    assert np.allclose(both.mean, 0.5 * (first.mean + second.mean))
    apart = 0.25 * (first.mean - second.mean) ** 2
    assert np.allclose(both.error**2, 0.5 * (first.error**2 + second.error**2) + apart)
    drawn = MixturePosterior.of([first, sampled(seed=4)])
    assert np.allclose(drawn.means[:, 1], sampled(seed=4).mean)


def test_what_one_member_lacks_the_ensemble_lacks():
    mean = mixture(k=1).mean
    mean[0, 0] = np.nan
    part = MixturePosterior.gaussian(NAMES, mean, error=np.ones((6, 3)))
    both = MixturePosterior.of([part, mixture(seed=2)])
    assert np.isnan(both.mean[0, 0])
    assert np.isfinite(both.mean).sum() == 17


def test_members_must_speak_of_the_same():
    other = MixturePosterior.gaussian(NAMES[::-1], np.zeros((6, 3)), error=np.ones((6, 3)))
    with pytest.raises(DataError, match="same labels"):
        MixturePosterior.of([mixture(), other])
    with pytest.raises(DataError, match="5 stars"):
        MixturePosterior.of([mixture(), mixture(5)])
    with pytest.raises(DataError, match="none"):
        MixturePosterior.of([])


def test_missing_labels_are_integrated_out():
    posterior = mixture(3, 2)
    values = posterior.mean
    values[1, 0], values[2] = np.nan, np.nan
    found = posterior.log_prob(values)
    part = MixturePosterior(
        NAMES[1:], posterior.weights, posterior.means[..., 1:], posterior.covariances[..., 1:, 1:]
    )
    assert found[1] == pytest.approx(part.log_prob(values[:, 1:])[1])
    assert np.isnan(found[2])


def test_an_error_of_zero_is_a_step():
    posterior = MixturePosterior.gaussian(("x",), [[1.0]], error=[[0.0]])
    assert posterior.quantiles([0.1, 0.9]).ravel().tolist() == [1.0, 1.0]
    below = [posterior.cdf([[v]])[0, 0] for v in (0.9, 1.0, 1.1)]
    assert below == [0.0, 0.5, 1.0]
    assert np.all(posterior.samples(3) == 1.0)
    with pytest.raises(DataError, match="positive definite"):
        posterior.log_prob([[1.0]])


def test_a_covariance_that_is_none_is_named():
    bad = np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]])
    posterior = MixturePosterior.gaussian(("x", "y"), np.zeros((2, 2)), covariance=bad)
    for ask in (lambda: posterior.log_prob(np.zeros((2, 2))), lambda: posterior.samples(3)):
        with pytest.raises(DataError, match=r"star 1 .* is not"):
            ask()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights": np.ones((3, 1))}, r"\(N, K\)"),
        ({"weights": np.full((2, 1), 0.4)}, "sum to 1"),
        ({"means": np.zeros((2, 1, 3))}, r"\(N, K, L\)"),
        ({"covariances": np.full((2, 1, 2, 2), np.nan)}, "variance of x of star 0"),
        ({"covariances": -np.ones((2, 1, 2, 2))}, "0 or more"),
        ({"means": np.full((2, 1, 2), np.inf)}, None),
    ],
)
def test_wrong_numbers_are_named(change, named):
    good = {
        "weights": np.ones((2, 1)),
        "means": np.zeros((2, 1, 2)),
        "covariances": np.tile(np.eye(2), (2, 1, 1, 1)),
    }
    if named is None:
        assert not np.isfinite(MixturePosterior(("x", "y"), **(good | change)).mean).any()
        return
    with pytest.raises(DataError, match=named):
        MixturePosterior(("x", "y"), **(good | change))


def test_a_mean_that_is_nan_in_one_component_alone_is_refused():
    means = np.zeros((1, 2, 1))
    means[0, 1] = np.nan
    with pytest.raises(DataError, match="mean of x of star 0"):
        MixturePosterior(("x",), np.full((1, 2), 0.5), means, np.ones((1, 2, 1, 1)))
    draws = np.zeros((5, 1, 1))
    draws[2] = np.nan
    with pytest.raises(DataError, match="draw of x of star 0"):
        SampledPosterior(("x",), draws)


def test_what_is_asked_wrongly_is_told():
    posterior = mixture()
    with pytest.raises(ConfigError, match="between 0 and 1"):
        posterior.quantiles([0.5, 1.0])
    with pytest.raises(DataError, match=r"\(6, 3\)"):
        posterior.cdf(np.zeros(3))
    with pytest.raises(ConfigError, match="not both"):
        MixturePosterior.gaussian(NAMES, np.zeros((1, 3)))
    with pytest.raises(DataError, match="without a density"):
        SampledPosterior(NAMES, np.zeros((4, 2, 3))).log_prob(np.zeros((2, 3)))
    with pytest.raises(DataError, match="S of 2"):
        SampledPosterior(NAMES, np.zeros((1, 2, 3)))
