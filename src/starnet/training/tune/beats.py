"""Signs of life of running trials, and a second try for those whose worker died.

Optuna's heartbeats exist for databases alone; these are attributes of trials, and work with a
journal file as well. On the machine of the worker a trial is given up as soon as its process is
gone; elsewhere, when no sign came for a while.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

GRACE = 300.0
"""Seconds without a sign after which a trial of another machine is given up."""
SILENT = 60.0
"""Seconds within which a trial gives its first sign, right after it was drawn."""
MOST_RETRIES = 2
BEAT, WORKER, RETRIES, RETRY_OF = "beat", "worker", "retries", "retry_of"


@contextmanager
def beating(trial: Trial, grace: float = GRACE) -> Iterator[None]:
    """Within this context the trial gives signs of life."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(min(30.0, grace / 4)):
            try:
                trial.set_user_attr(BEAT, time.time())
            except Exception:
                return  # it was given up, or the storage is gone: the trial itself will notice

    trial.set_user_attr(WORKER, {"host": socket.gethostname(), "pid": os.getpid()})
    trial.set_user_attr(BEAT, time.time())
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_stale(trial: FrozenTrial, grace: float = GRACE) -> bool:
    """Whether the worker of a running trial is gone."""
    worker = trial.user_attrs.get(WORKER)
    if worker and worker["host"] == socket.gethostname() and not _alive(int(worker["pid"])):
        return True
    last = trial.user_attrs.get(BEAT)
    if last is None:
        begun = trial.datetime_start or datetime.now()
        return time.time() - begun.timestamp() > min(SILENT, grace)
    return time.time() - last > grace


def retry_stale(study: Study, grace: float = GRACE) -> list[int]:
    """Fail running trials whose worker is gone and queue each again, up to twice.

    Returns
    -------
    list of int
        Numbers of the trials.
    """
    from optuna.trial import TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    gone = [trial for trial in running if is_stale(trial, grace)]
    return [trial.number for trial in gone if give_up(study, trial)]


def give_up(study: Study, trial: FrozenTrial | Trial) -> bool:
    """Fail a running trial and queue it again; False where another worker was first."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    retries = int(trial.user_attrs.get(RETRIES, 0)) + 1
    if retries <= MOST_RETRIES:
        notes: dict[str, Any] = {RETRIES: retries, RETRY_OF: trial.number}
        study.enqueue_trial(trial.params, user_attrs=notes)
    return True


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a failed trial's worker had died and the trial was queued again."""
    return int(trial.user_attrs.get(RETRIES, 0)) < MOST_RETRIES


def _alive(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
