"""One worker: takes trials from the study until there are enough of them."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from starnet.dataset import open_dataset
from starnet.errors import (
    ConfigError,
    DataError,
    ModelError,
    TrainingError,
    TrainingInterrupted,
)
from starnet.training.recipe import Recipe
from starnet.training.tune.beats import GRACE, beating, give_up, is_lost, retry_stale
from starnet.training.tune.objective import Objective
from starnet.training.tune.sampler import build_pruner, build_sampler
from starnet.training.tune.settings import with_values
from starnet.training.tune.space import Space
from starnet.training.tune.storage import open_storage, quiet, require_optuna

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

PrunerName = Literal["median", "hyperband", "halving", "none"]
REASON = "reason"
"""Attribute of a trial that could not be trained."""
HOPELESS = 8
"""A study whose first trials, so many of them, all failed is ended."""
DOES_NOT_TRAIN = (ConfigError, DataError, ModelError, TrainingError)


@dataclass(frozen=True)
class Job:
    """All that a worker needs, as plain values: it may be another process, on another machine.

    Attributes
    ----------
    dataset : str
        Path.
    recipe, space : mapping
        As their ``to_dict`` gives them.
    study : str
        Journal file or URL; see `starnet.training.tune.storage.open_storage`.
    trials : int
        Until so many are done, by all workers together; with several workers a few more may be.
    name : str
        Of the study within its storage.
    deadline : float or None
        Time (of the clock, in seconds) after which no trial is begun.
    pruner : {"median", "hyperband", "halving", "none"}
    folds : int
    seed : int
    grace : float
        Seconds without a sign of life; see `starnet.training.tune.beats`.
    threads : int
        Of torch; 0 for what torch chooses.
    parent : int
        Process whose end ends the worker; 0 for none.
    """

    dataset: str
    recipe: Mapping[str, Any]
    space: Mapping[str, Any]
    study: str
    trials: int
    name: str = "starnet"
    deadline: float | None = None
    pruner: PrunerName = "median"
    folds: int = 1
    seed: int = 0
    grace: float = GRACE
    threads: int = 0
    parent: int = 0


def open_study(job: Job) -> Study:
    """The job's study, made if it is not there; first trials are what the sampler draws."""
    optuna = require_optuna()
    recipe = Recipe.from_dict(job.recipe)
    steps = recipe.training.epochs * job.folds
    with quiet():
        return optuna.create_study(
            storage=open_storage(job.study),
            study_name=job.name,
            load_if_exists=True,
            direction="minimize",
            sampler=build_sampler(job.seed),
            pruner=build_pruner(job.pruner, steps),
        )


def work_in_process(job: Job) -> None:
    """`work` in a process of its own: quiet, and at the mercy of its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(max(1, job.threads))
    work(job)


def work(job: Job, on_trial: Callable[[], None] | None = None) -> None:
    """Run trials until the study has enough of them or time is up.

    Raises
    ------
    TrainingInterrupted
        At Ctrl-C; the trial was queued again.
    TrainingError
        If none of the first trials could be trained.
    """
    with quiet():
        study = open_study(job)
        recipe, space = Recipe.from_dict(job.recipe), Space.from_dict(job.space)
        objective = Objective.of(open_dataset(job.dataset), recipe, job.folds)
        while not _over(job) and not enough(study, job):
            trial = study.ask(space.distributions())
            run_trial(study, trial, job, objective, with_values(recipe, space.values(trial.params)))
            _check_hope(study)
            if on_trial:
                on_trial()


def run_trial(study: Study, trial: Trial, job: Job, objective: Objective, recipe: Recipe) -> None:
    """Train a trial's recipe and tell the study what came of it."""
    from optuna import TrialPruned
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    def report(step: int, value: float) -> None:
        trial.report(value, step)
        if job.parent and os.getppid() != job.parent:
            raise TrainingInterrupted("The process that started this worker is gone.")
        if trial.should_prune():
            raise TrialPruned

    try:
        with beating(trial, job.grace):
            try:
                value = objective(recipe, report)
                study.tell(trial, value)
            except TrialPruned:
                study.tell(trial, state=TrialState.PRUNED)
            except TrainingInterrupted:
                raise
            except DOES_NOT_TRAIN as error:
                trial.set_user_attr(REASON, f"{type(error).__name__}: {error}"[:500])
                study.tell(trial, state=TrialState.PRUNED)
    except (KeyboardInterrupt, TrainingInterrupted):
        give_up(study, trial)
        raise
    except (UpdateFinishedTrialError, ValueError) as error:
        if not _finished(study, trial):
            raise
        del error  # too slow to give signs of life: another worker has it now


def enough(study: Study, job: Job) -> bool:
    """Whether no further trial is to be begun; trials of dead workers are queued again."""
    retry_stale(study, job.grace)
    trials = study.get_trials(deepcopy=False)
    return sum(counts(trial) for trial in trials) >= job.trials


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is done or being done; one that was queued again is counted there."""
    from optuna.trial import TrialState

    if trial.state == TrialState.FAIL:
        return not is_lost(trial)
    return trial.state != TrialState.WAITING


def _over(job: Job) -> bool:
    return job.deadline is not None and time.time() > job.deadline


def _finished(study: Study, trial: Trial) -> bool:
    return study.get_trials(deepcopy=False)[trial.number].state.is_finished()


def _check_hope(study: Study) -> None:
    """End a search in which nothing can be trained."""
    done = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    reasons = [trial.user_attrs.get(REASON) for trial in done]
    if len(done) >= HOPELESS and all(reasons):
        raise TrainingError(
            f"None of the first {len(done)} trials could be trained; the last said: {reasons[-1]} "
            "Mend the recipe, the data set or the search space, and start a new study."
        )


def for_process(job: Job, workers: int) -> Job:
    """The job as it is given to each of several processes."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(threads, int(limit)) if limit.isdigit() else threads
    return dataclasses.replace(job, threads=threads, parent=os.getpid())
