"""One method on one cell: learn from its stars, and answer for the tested ones.

Only rows of the training side are read before the method has learnt; what it learns from has noise
on its labels where the suite says so. Times of training are from stored spectra to what was learnt,
preparation included. Times of prediction are of prepared spectra, after a first few that do not
count (they compile, or load).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.dataset import SpectraDataset, split_by_star
from starnet.evaluate.bench.entries import pipeline
from starnet.evaluate.bench.parts import noisy
from starnet.preprocess import Pipeline
from starnet.spectra import Labels, Spectra, concatenate

Array = NDArray[Any]
BLOCK = 1000
"""Spectra that are read and prepared at a time."""
WARM = 8
"""Spectra of the first prediction, which does not count."""
LEAST = 30
"""Stars that the scatter of a network is measured on."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Labels of the tested spectra, and what it took.

    Attributes
    ----------
    labels : Labels
        Those that the method gives.
    train_s : float
    per_s, per_s_errors : float
        Spectra per second to labels alone, and with errors.
    about : mapping
        What else is worth telling.
    """

    labels: Labels
    train_s: float
    per_s: float
    per_s_errors: float
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Work:
    """What a method is given.

    Attributes
    ----------
    data, training : SpectraDataset
        Of the tested stars, and of those to learn from.
    entry : mapping
        As `Entry.to_dict` gives it.
    labels : tuple of str
        That are compared.
    learn, test : array
        Rows of ``training`` and of ``data``.
    preprocess : Pipeline
        The suite's.
    seed : int
    noise : mapping of label to float
    readers : tuple of Path
        Folders of pre-trained readers, for fine-tuning.
    """

    data: SpectraDataset
    training: SpectraDataset
    entry: Mapping[str, Any]
    labels: tuple[str, ...]
    learn: Array
    test: Array
    preprocess: Pipeline
    seed: int = 0
    noise: Mapping[str, float] = field(default_factory=dict)
    readers: tuple[Path, ...] = ()

    @property
    def learnt(self) -> tuple[str, ...]:
        """Labels that the method learns: those compared, then the entry's own besides."""
        return tuple(dict.fromkeys((*self.labels, *self.entry.get("also", ()))))

    def steps(self, usual: Pipeline) -> Pipeline:
        """The entry's own preprocessing, which may be empty; or the usual where it has none."""
        given = self.entry.get("preprocess")
        return usual if given is None else pipeline(given)


class Relabelled(SpectraDataset):
    """A data set whose labels are others than those on disk; else the same."""

    def __init__(self, dataset: SpectraDataset, labels: Labels) -> None:
        super().__init__(dataset.path, dataset._group)
        self.__dict__["labels"] = labels

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.labels.names


def answer(work: Work) -> Answer:
    """What a method says of the tested spectra.

    Raises
    ------
    StarNetError
        As the method does.
    """
    return _KINDS[work.entry["kind"]](work)


def learnt_labels(work: Work) -> Labels:
    """Labels of every star of the training data, with the noise that is learnt from."""
    labels = work.training.labels.select(work.learnt)
    return noisy(labels, work.training.stars, work.noise, work.seed)


def read(dataset: SpectraDataset, rows: Array, steps: Pipeline) -> Spectra:
    """Prepared spectra, read in blocks."""
    plain = steps.deterministic()
    starts = range(0, len(rows), BLOCK)
    return concatenate(plain(dataset.read(rows[start : start + BLOCK])) for start in starts)


def _baseline(work: Work) -> Answer:
    from starnet.baselines import Method

    steps = work.steps(work.preprocess)
    method = Method.from_dict(work.entry["settings"])
    begun = time.perf_counter()
    spectra = read(work.training, work.learn, steps)
    known = learnt_labels(work)[work.learn]
    fitted = method.fit(spectra, known, seed=work.seed, report=print)
    train_s = time.perf_counter() - begun
    del spectra
    tested = read(work.data, work.test, steps)
    found, per_s = timed(lambda rows: fitted.predict(tested[rows]), len(tested))
    return Answer(found, train_s, per_s, per_s)


def _network(work: Work) -> Answer:
    from starnet.training import Recipe, train_model

    recipe = Recipe.from_dict(work.entry["settings"])
    steps = work.steps(recipe.preprocess)
    log10 = tuple(name for name in recipe.log10 if name in work.learnt)
    recipe = replace(
        recipe, labels=work.learnt, log10=log10, preprocess=steps, select={},
        seed=recipe.seed + 1000 * work.seed,
    )  # fmt: skip
    begun = time.perf_counter()
    dataset = Relabelled(work.training, learnt_labels(work))
    share = recipe.split[1] / (recipe.split[0] + recipe.split[1])
    sides = split_by_star(dataset.stars[work.learn], (1 - share, share), recipe.seed)
    learn, valid = (work.learn[side] for side in sides)
    result = train_model(dataset, recipe, rows=(learn, valid, learn[:0]), progress=False)
    model = with_scatter(result.model, dataset, valid)
    train_s = time.perf_counter() - begun
    epochs = [len(history) for history in result.histories]
    return _by_model(work, model, train_s, {"epochs": epochs})


def _finetuned(work: Work) -> Answer:
    from starnet.artifact import load_model
    from starnet.training.finetune import FineTuneRecipe, fine_tune, hold_out

    recipe = FineTuneRecipe.from_dict(work.entry["settings"])
    log10 = tuple(name for name in recipe.log10 if name in work.learnt)
    steps = work.steps(recipe.preprocess)
    recipe = replace(recipe, labels=work.learnt, log10=log10, preprocess=steps, select={})
    readers = [load_model(folder) for folder in work.readers]
    begun = time.perf_counter()
    dataset = Relabelled(work.training, learnt_labels(work))
    held = None
    if work.entry.get("errors"):
        held = hold_out(dataset, recipe, readers, rows=work.learn, report=print)
    model = fine_tune(dataset, recipe, readers, rows=work.learn, held=held)
    return _by_model(work, model, time.perf_counter() - begun, {})


def _reader(work: Work) -> Answer:
    from starnet.inference import load_predictor

    predictor = load_predictor(work.entry["settings"]["model"], cycle=False)
    return _by_model(work, predictor.model, 0.0, {})


def _by_model(work: Work, model: Any, train_s: float, about: Mapping[str, Any]) -> Answer:
    from starnet.inference.quoted import quote
    from starnet.models import apply_network

    raw = read(work.data, work.test, Pipeline())
    snr = raw.snr
    tested = model.prepare(raw)
    del raw
    _, per_s = timed(lambda rows: apply_network(model.network, model.inputs(tested[rows])),
                     len(tested))  # fmt: skip
    dead = np.all(tested.mask, axis=1)
    said, per_s_errors = timed(
        lambda rows: quote(model, tested[rows], snr[rows], alive=~dead[rows]), len(tested)
    )
    labels = Labels(model.labels, said.values, said.error)
    return Answer(labels, train_s, per_s, per_s_errors, about)


def with_scatter(model: Any, dataset: SpectraDataset, rows: Array) -> Any:
    """A network's model with errors, from stars that decided when to stop, if there are enough.

    A network that gives errors itself keeps them; for another it is the noise of the pixels and
    the scatter of its labels about these stars', as `starnet train` has it.
    """
    from starnet.errors import DataError, LabelError
    from starnet.inference.propagation import IntrinsicScatter, propagate
    from starnet.inference.quoted import quote

    if len(rows) < LEAST:
        return model
    prepared = model.prepare(dataset.read(rows))
    if np.isfinite(quote(model, prepared[:1], prepared[:1].snr).error).any():
        return model
    values, covariance = propagate(model, prepared)
    noise = np.sqrt(np.einsum("nll->nl", covariance))
    known = noise if np.isfinite(noise).any() else None
    truth = dataset.labels.select(model.labels)[rows]
    try:
        made = IntrinsicScatter.fit(Labels(model.labels, values), known, truth, min_stars=LEAST)
    except (DataError, LabelError):
        return model
    return replace(model, scatter=made.to_dict())


def timed(predict: Callable[[Array], Any], n: int) -> tuple[Any, float]:
    """What ``predict`` gives for rows 0 to n, and rows per second after a first few."""
    every = np.arange(n)
    predict(every[:WARM])
    begun = time.perf_counter()
    found = predict(every)
    return found, n / max(time.perf_counter() - begun, 1e-9)


_KINDS: dict[str, Callable[[Work], Answer]] = {
    "method": _baseline,
    "network": _network,
    "finetune": _finetuned,
    "reader": _reader,
}
