import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.dataset import k_folds, split_by_star
from starnet.errors import ConfigError, DataError

visits = st.lists(st.integers(0, 40).map(lambda i: f"star{i}"), min_size=1, max_size=200).filter(
    lambda stars: len(set(stars)) >= 3
)


@given(visits, st.integers(0, 5), st.booleans())
def test_no_star_is_on_two_sides_and_no_row_is_lost(stars, seed, stratified):
    stars = np.array(stars)
    values = np.where(np.arange(stars.size) % 7, np.arange(stars.size), np.nan)
    sides = split_by_star(stars, (0.6, 0.2, 0.2), seed, stratify=values if stratified else None)
    assert sorted(np.concatenate(sides).tolist()) == list(range(stars.size))
    found = [set(stars[side].tolist()) for side in sides]
    assert all(found)
    assert sum(map(len, found)) == len(set(stars.tolist()))


@given(visits, st.integers(0, 5), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_rows_does_not_matter(stars, seed, random, stratified):
    stars = np.array(stars)
    label = np.array([float(name[4:]) % 9 for name in stars])
    shuffled = np.array(random.sample(range(stars.size), stars.size))
    one = split_by_star(stars, seed=seed, stratify=label if stratified else None)
    other = split_by_star(
        stars[shuffled], seed=seed, stratify=label[shuffled] if stratified else None
    )
    for a, b in zip(one, other, strict=True):
        assert set(stars[a].tolist()) == set(stars[shuffled][b].tolist())


@given(visits, st.integers(2, 3), st.integers(0, 5))
def test_each_star_is_held_out_once(stars, k, seed):
    stars = np.array(stars)
    folds = k_folds(stars, k, seed)
    assert len(folds) == k
    held = [set(stars[test].tolist()) for _, test in folds]
    assert sum(map(len, held)) == len(set(stars.tolist()))
    for train, test in folds:
        assert not set(stars[train].tolist()) & set(stars[test].tolist())
        assert train.size + test.size == stars.size


def test_shares_are_of_stars_and_seeds_differ():
    stars = np.repeat([f"s{i}" for i in range(1000)], 3)
    sides = split_by_star(stars, (0.8, 0.1, 0.1), seed=1)
    assert [side.size for side in sides] == [2400, 300, 300]
    assert not np.array_equal(sides[1], split_by_star(stars, (0.8, 0.1, 0.1), seed=2)[1])
    assert split_by_star(stars, (1.0, 0.0))[1].size == 0


@pytest.mark.parametrize("how", ["split", "folds"])
def test_stratified_sides_have_the_whole_range_of_the_label(how):
    rng = np.random.default_rng(1)
    teff = rng.exponential(1000.0, 500)
    stars = np.array([f"s{i}" for i in range(500)])
    if how == "split":
        sides = split_by_star(stars, (0.8, 0.1, 0.1), stratify=teff)
    else:
        sides = [test for _, test in k_folds(stars, 10, stratify=teff)]
    medians = [np.median(teff[side]) for side in sides]
    plain = [np.median(teff[test]) for _, test in k_folds(stars, 10, seed=3)]
    assert np.ptp(medians) < 0.5 * np.ptp(plain)


def test_bad_arguments_are_sentences():
    with pytest.raises(ConfigError, match="sum to 1"):
        split_by_star(["a", "b"], (0.8, 0.1))
    with pytest.raises(ConfigError, match="positive"):
        split_by_star(["a", "b"], (1.5, -0.5))
    with pytest.raises(DataError, match="at least 3 stars; there are 2"):
        split_by_star(["a", "b"])
    with pytest.raises(ConfigError, match="k must"):
        k_folds(["a", "b"], 1)
    with pytest.raises(DataError, match="3 folds need"):
        k_folds(["a", "b", "a"], 3)
    with pytest.raises(DataError, match="stratify"):
        split_by_star(["a", "b", "c"], stratify=[1.0])
