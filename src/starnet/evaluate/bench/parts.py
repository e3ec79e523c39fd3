"""Which stars are learnt from and which are tested, and what the labels of the former are made.

What falls where, and the noise on a star's labels, depend on the star's name and the seed alone:
not on the order of rows, on other stars, or on the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from starnet.dataset import SpectraDataset, k_folds
from starnet.errors import DataError, LabelError
from starnet.evaluate.bench.suite import ALL, Suite
from starnet.spectra import Labels

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the stars: rows to learn from, and rows that are tested.

    The former are rows of the data set, or of the one for training where the suite has one.
    """

    number: int
    learn: Rows
    test: Rows


def usable_labels(
    suite: Suite, data: SpectraDataset, training: SpectraDataset
) -> tuple[tuple[str, ...], list[str]]:
    """Labels of the suite that all its data have, and a note for each that is left out.

    Raises
    ------
    LabelError
        If none remains.
    """
    notes = []
    for name in suite.labels:
        for dataset in {id(d): d for d in (data, training)}.values():
            known = name in dataset.label_names and np.isfinite(dataset.labels.column(name)).any()
            if not known:
                notes.append(
                    f"The label {name} is left out for all methods: {dataset.path.name} lacks it."
                )
                break
    kept = tuple(n for n in suite.labels if not any(f"label {n} is" in note for note in notes))
    if not kept:
        raise LabelError(
            f"The suite {suite.name} compares {', '.join(suite.labels)}, and "
            f"{data.path.name} has {', '.join(data.label_names) or 'no labels'}. Give a table "
            "with one of them."
        )
    return kept, notes


def folds(
    suite: Suite, labels: Sequence[str], data: SpectraDataset, training: SpectraDataset | None
) -> list[Fold]:
    """The folds of a suite. No star is on both sides of one.

    Raises
    ------
    DataError
        If no star is left on a side, or stars of the training data are among those to be tested.
    LabelError
        If limits are of a label that the data lack.
    """
    able = np.flatnonzero(_within(data, labels, suite.select))
    if not able.size:
        raise DataError(
            f"No star of {data.path.name} has all of {', '.join(labels)} within the limits of the "
            f"suite {suite.name}."
        )
    if training is not None:
        learn = np.flatnonzero(_within(training, labels, suite.learn))
        made = [Fold(0, learn, able[_tested(suite, data, able)])]
    else:
        more = np.flatnonzero(_within(data, labels, suite.learn or suite.select))
        every = np.union1d(able, more)
        made = [
            Fold(i, _without(data, every, test), test)
            for i, test in enumerate(_test_sides(suite, data, able))
        ]
    for fold in made:
        assert_apart(fold, data, training or data)
    return made


def assert_apart(fold: Fold, data: SpectraDataset, training: SpectraDataset) -> None:
    """Refuse a fold without stars on a side, or with one on both.

    Raises
    ------
    DataError
        If so; the message names a star.
    """
    learn, test = set(training.stars[fold.learn].tolist()), set(data.stars[fold.test].tolist())
    if not learn or not test:
        raise DataError(
            f"Fold {fold.number} has {len(learn)} stars to learn from and {len(test)} to test; "
            "each side needs some. Give more stars, or widen the limits of the suite."
        )
    if both := sorted(learn & test):
        raise DataError(
            f"{len(both)} stars are both learnt from and tested in fold {fold.number}, such as "
            f"{both[0]!r}. Give data without stars in common."
        )


def ladder(fold: Fold, stars: NDArray[np.str_], size: int, seed: int) -> Rows | None:
    """Rows of the first ``size`` stars to learn from; None if there are not so many.

    Parameters
    ----------
    fold : Fold
    stars : array (N,)
        Of the data set that is learnt from.
    size : int
        0 for all.
    seed : int
        Of their order. A smaller set of the same seed is a part of a larger one.
    """
    names, of = np.unique(stars[fold.learn], return_inverse=True)
    if size == ALL:
        return fold.learn
    if size > len(names):
        return None
    order = np.argsort(uniforms(names, seed, "order"), kind="stable")
    chosen = np.zeros(len(names), dtype=bool)
    chosen[order[:size]] = True
    return fold.learn[chosen[of]]


def noisy(labels: Labels, stars: NDArray[np.str_], noise: Mapping[str, float], seed: int) -> Labels:
    """Labels with errors: normal ones of the given sigma, the same for all visits of a star.

    The sigma is added to the labels' own errors in squares, for methods that heed errors.
    """
    values, errors = np.array(labels.values), np.array(labels.errors)
    for i, name in enumerate(labels.names):
        if sigma := noise.get(name, 0.0):
            values[:, i] += sigma * ndtri(uniforms(stars, seed, name))
            errors[:, i] = np.hypot(np.nan_to_num(errors[:, i]), sigma)
    return Labels(labels.names, values, errors, labels.specs)


def uniforms(names: NDArray[np.str_], seed: int, what: str) -> NDArray[np.float64]:
    """A number between 0 and 1 for each name, from its hash."""
    own = {name: _uniform(f"{seed}/{what}/{name}") for name in set(names.tolist())}
    return np.array([own[name] for name in names.tolist()])


def _uniform(text: str) -> float:
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())
    return (number + 0.5) / 2**56


def _within(
    dataset: SpectraDataset, labels: Sequence[str], limits: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Spectra whose labels are all known and within limits."""
    good = dataset.labels.select(labels).complete.copy()
    for name, (low, high) in limits.items():
        column = dataset.labels.column(name)
        good &= (column > low) & (column < high)
    return good


def _test_sides(suite: Suite, data: SpectraDataset, able: Rows) -> list[Rows]:
    split = suite.split
    if "folds" not in split:
        return [able[_tested(suite, data, able)]]
    by = split.get("stratify")
    known = data.labels.column(by)[able] if by else None
    made = k_folds(data.stars[able], split["folds"], split.get("seed", 0), stratify=known)
    return [able[test] for _, test in made]


def _tested(suite: Suite, data: SpectraDataset, able: Rows) -> Rows:
    """Of those that may be tested the ones that are: all, a number of stars, or a share."""
    share = suite.split.get("test")
    if share == "all":
        return np.arange(len(able))
    names, of = np.unique(data.stars[able], return_inverse=True)
    n = round(share * len(names)) if isinstance(share, float) else share
    if not isinstance(n, int) or not 0 < n < len(names):
        raise DataError(
            f"test of a split must be a number of stars below {len(names)}, or a share of them "
            f"below 1; received {share!r}."
        )
    chosen = np.zeros(len(names), dtype=bool)
    order = np.argsort(uniforms(names, suite.split.get("seed", 0), "test"), kind="stable")
    chosen[order[:n]] = True
    return np.flatnonzero(chosen[of])


def _without(data: SpectraDataset, rows: Rows, test: Rows) -> Rows:
    """Rows whose stars are not tested."""
    return rows[~np.isin(data.stars[rows], data.stars[test])]
