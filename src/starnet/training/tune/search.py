"""The search: prepares the study, runs the workers, and starts those anew that die."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from starnet.dataset import open_dataset
from starnet.errors import ConfigError, TrainingError, TrainingInterrupted
from starnet.training.recipe import Recipe
from starnet.training.tune.beats import retry_stale
from starnet.training.tune.findings import Findings, findings_of
from starnet.training.tune.objective import Objective
from starnet.training.tune.settings import check_space, start_of
from starnet.training.tune.space import Space
from starnet.training.tune.storage import quiet, shown
from starnet.training.tune.worker import (
    Job,
    counts,
    for_process,
    open_study,
    work,
    work_in_process,
)

if TYPE_CHECKING:
    from optuna import Study

ABOUT = "starnet"
"""Attribute of a study: what its values depend on."""
LOOK_EVERY = 1.0
OnTrial = Callable[[dict[str, Any]], None]


def tune(job: Job, *, workers: int = 1, on_trial: OnTrial | None = None) -> Findings:
    """Search until the study has enough trials, and say what was found.

    Call it again to go on, with more trials or after an interruption; call it on several
    machines at once to share the work.

    Parameters
    ----------
    job : Job
    workers : int
        Processes on this machine.
    on_trial : callable, optional
        Told ``number``, ``state``, ``value``, ``best`` of every trial that ends, of this or
        another machine.

    Raises
    ------
    ConfigError
        If the space does not fit the recipe, or the study was made for another search.
    DataError
        If the study is damaged.
    TrainingError
        If nothing could be trained, or workers die again and again.
    TrainingInterrupted
        At Ctrl-C; all that was done is in the study.
    """
    if workers < 1 or job.trials < 1:
        raise ConfigError(
            f"trials and workers must be 1 or more; received {job.trials} and {workers}."
        )
    with quiet():
        study = prepare(job)
        watch = _Watch(study, on_trial)
        try:
            if workers == 1:
                work(job, watch.look)
            else:
                _processes(job, workers, study, watch)
        except (KeyboardInterrupt, TrainingInterrupted):
            retry_stale(study, job.grace)
            done = len(watch.seen)
            raise TrainingInterrupted(
                f"The search was interrupted after {done} of {job.trials} trials, which are kept "
                f"in {shown(job.study)}. Give the same command again to go on."
            ) from None
        watch.look()
        return findings_of(study, job)


def prepare(job: Job) -> Study:
    """The study, checked against the job, with the recipe itself as its first trial."""
    recipe, space = Recipe.from_dict(job.recipe), Space.from_dict(job.space)
    check_space(space, recipe)
    objective = Objective.of(open_dataset(job.dataset), recipe, job.folds)
    about = {
        "recipe": job.recipe,
        "space": job.space,
        "stars": objective.fingerprint(),
        "folds": job.folds,
        "seed": job.seed,
    }
    about = json.loads(json.dumps(about))
    study = open_study(job)
    known = study.user_attrs.get(ABOUT)
    if known is not None:
        _same_search(known, about, job)
        retry_stale(study, job.grace)
        return study
    if study.get_trials(deepcopy=False):
        raise ConfigError(
            f"{shown(job.study)} has a study {job.name!r} that StarNet did not make. Give "
            "another --name or another --study."
        )
    study.set_user_attr(ABOUT, about)
    study.enqueue_trial(start_of(space, recipe), skip_if_exists=True)
    return study


def _same_search(known: dict[str, Any], mine: dict[str, Any], job: Job) -> None:
    differ = [name for name in mine if mine[name] != known.get(name)]
    if differ:
        raise ConfigError(
            f"The study {job.name!r} in {shown(job.study)} was made with another "
            f"{', another '.join(differ)}: its values would not compare. Use the same, or "
            "another --name or --study."
        )


def _processes(job: Job, workers: int, study: Study, watch: _Watch) -> None:
    """Keep workers going until they end by themselves; a few that die are replaced."""
    context = multiprocessing.get_context("spawn")
    given, deaths = for_process(job, workers), 0

    def start() -> BaseProcess:
        process = context.Process(target=_quietly, args=(given,), daemon=True)
        process.start()
        return process

    running = [start() for _ in range(workers)]
    try:
        while running:
            time.sleep(LOOK_EVERY)
            watch.look()
            ended = [process for process in running if not process.is_alive()]
            running = [process for process in running if process.is_alive()]
            died = sum(process.exitcode != 0 for process in ended)
            if died:
                deaths += died
                retry_stale(study, job.grace)
                _check_deaths(deaths, workers, study, job)
                running += [start() for _ in range(died) if not _done(study, job)]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _quietly(job: Job) -> None:
    """A worker that says in the study why it ended, for its parent to tell."""
    try:
        work_in_process(job)
    except TrainingInterrupted:
        os._exit(0)
    except Exception as error:
        with quiet():
            open_study(job).set_user_attr("trouble", f"{type(error).__name__}: {error}")
        os._exit(1)


def _done(study: Study, job: Job) -> bool:
    return sum(counts(trial) for trial in study.get_trials(deepcopy=False)) >= job.trials


def _check_deaths(deaths: int, workers: int, study: Study, job: Job) -> None:
    if deaths > 2 * workers + 2:
        trouble = study.user_attrs.get("trouble", "they were killed, perhaps for lack of memory")
        raise TrainingError(
            f"Workers ended {deaths} times without finishing; the last said: {trouble} What was "
            f"done is kept in {shown(job.study)}. Use fewer --workers or smaller networks."
        )


class _Watch:
    """Tells of each trial that has ended since the last look."""

    def __init__(self, study: Study, on_trial: OnTrial | None) -> None:
        self.study, self.on_trial = study, on_trial
        self.seen = {t.number for t in self._ended()}

    def _ended(self) -> list[Any]:
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.is_finished() and counts(trial)]

    def look(self) -> None:
        """Call ``on_trial`` for what is new."""
        ended = self._ended()
        complete = [t.value for t in ended if t.state.name == "COMPLETE"]
        best = min(complete, default=float("nan"))
        for trial in ended:
            if trial.number not in self.seen:
                self.seen.add(trial.number)
                state = trial.state.name.lower()
                row = {"number": trial.number, "state": state, "value": trial.value, "best": best}
                if self.on_trial:
                    self.on_trial({**row, "done": len(self.seen)})
