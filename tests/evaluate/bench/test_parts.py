"""Folds, ladders of training sets, and noise on labels."""

import numpy as np
import pytest

from starnet.dataset import from_arrays, open_dataset
from starnet.errors import DataError, LabelError
from starnet.evaluate.bench.parts import (
    Fold,
    assert_apart,
    folds,
    ladder,
    noisy,
    usable_labels,
)
from starnet.spectra import Labels


def names(dataset, rows):
    return set(dataset.stars[rows].tolist())


@pytest.mark.parametrize("split", [{"folds": 3}, {"test": 20}, {"test": 0.25, "seed": 4}])
def test_no_star_is_on_both_sides(make, dataset, split):
    made = folds(make(split=split), ["teff", "logg"], dataset, None)
    for fold in made:
        learn, test = names(dataset, fold.learn), names(dataset, fold.test)
        assert learn.isdisjoint(test)
        assert len(fold.learn) == 2 * len(learn)  # both visits
        assert len(fold.test) == 2 * len(test)
    tested = [star for fold in made for star in names(dataset, fold.test)]
    assert len(tested) == {"folds": 60, 20: 20, 0.25: 15}[split.get("test", "folds")]


def test_stars_within_learn_but_not_select_are_learnt_from_and_never_tested(make, dataset):
    suite = make(select={"teff": [5000, 6000]}, learn={"teff": [4500, 6500]})
    teff = dataset.labels.column("teff")
    for fold in folds(suite, ["teff"], dataset, None):
        assert np.all((teff[fold.test] > 5000) & (teff[fold.test] < 6000))
        outside = (teff > 4500) & (teff < 6500) & ~((teff > 5000) & (teff < 6000))
        assert set(np.flatnonzero(outside)) <= set(fold.learn)
        assert np.all((teff[fold.learn] > 4500) & (teff[fold.learn] < 6500))


def test_a_star_on_both_sides_is_refused(dataset):
    with pytest.raises(DataError, match="both learnt from and tested in fold 1, such as 'star000'"):
        assert_apart(Fold(1, np.array([0, 5]), np.array([1, 9])), dataset, dataset)
    with pytest.raises(DataError, match="0 stars to learn from"):
        assert_apart(Fold(0, np.array([], int), np.array([1])), dataset, dataset)


def test_training_data_with_tested_stars_are_refused(make, dataset):
    training = {"from": "drawn", "model": "apogee", "n": 10}
    suite = make(training=training, split={"test": "all"})
    with pytest.raises(DataError, match="such as 'star000'"):
        folds(suite, ["teff"], dataset, dataset)


def test_smaller_training_sets_are_parts_of_larger_ones(make, dataset):
    fold = folds(make(), ["teff"], dataset, None)[0]
    sets = [names(dataset, ladder(fold, dataset.stars, n, seed=3)) for n in (5, 12, 30)]
    assert [len(s) for s in sets] == [5, 12, 30]
    assert sets[0] < sets[1] < sets[2] == names(dataset, fold.learn)
    assert names(dataset, ladder(fold, dataset.stars, 5, seed=4)) != sets[0]
    assert ladder(fold, dataset.stars, 31, seed=3) is None
    assert np.array_equal(ladder(fold, dataset.stars, 0, seed=3), fold.learn)


def test_noise_is_that_of_the_star_and_the_seed(rng):
    stars = np.repeat([f"s{i}" for i in range(2000)], 2)
    labels = Labels(("teff", "logg"), np.tile([5000.0, 3.0], (4000, 1)), np.full((4000, 2), 0.3))
    one = noisy(labels, stars, {"teff": 50}, seed=1)
    off = one.column("teff") - 5000
    assert np.array_equal(off[::2], off[1::2])  # visits of a star
    assert np.std(off) == pytest.approx(50, rel=0.05)
    assert abs(np.mean(off)) < 4
    assert np.all(one.column("logg") == 3.0)
    assert one.errors[0] == pytest.approx([np.hypot(0.3, 50), 0.3])
    some = rng.permutation(4000)[:100]
    again = noisy(labels[some], stars[some], {"teff": 50, "logg": 0.1}, seed=1)
    assert np.array_equal(again.column("teff"), one.column("teff")[some])
    other = noisy(labels, stars, {"teff": 50}, seed=2).column("teff") - 5000
    assert abs(np.corrcoef(off, other)[0, 1]) < 0.1


def test_a_label_that_data_lack_is_left_out_for_all(make, dataset, tmp_path, labelled):
    kept, notes = usable_labels(make(labels=["teff", "fe_h"]), dataset, dataset)
    assert kept == ("teff",)
    assert len(notes) == 1
    assert "fe_h is left out for all methods: stars.zarr lacks it" in notes[0]
    spectra, labels = labelled(12)
    blank = Labels(("teff", "logg"), np.column_stack([labels.column("teff"), np.full(12, np.nan)]))
    from_arrays(spectra, blank, tmp_path / "blank.zarr")
    assert usable_labels(make(), dataset, open_dataset(tmp_path / "blank.zarr"))[0] == ("teff",)
    with pytest.raises(LabelError, match=r"compares mg_fe, and stars\.zarr has teff, logg"):
        usable_labels(make(labels=["mg_fe"]), dataset, dataset)
