"""What a study has found: its trials, the settings that matter, and the best recipe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from starnet.artifact import Model
from starnet.errors import TrainingError
from starnet.training.recipe import Recipe
from starnet.training.tune.beats import RETRIES, RETRY_OF, WORKER, is_lost
from starnet.training.tune.settings import start_of, with_values
from starnet.training.tune.space import Space
from starnet.training.tune.storage import quiet, require_optuna, shown
from starnet.training.tune.worker import REASON, Job

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FEWEST = 10
"""Complete trials that are needed to tell which settings matter."""


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What a study has found.

    Attributes
    ----------
    trials : Table
        A row for each: ``number``, ``state`` (complete, pruned, failed, lost, running, waiting),
        ``value``, ``best`` (so far), ``epochs``, ``begun``, ``seconds``, ``worker``, ``retry_of``,
        ``reason``, and each setting by name.
    importance : Table
        ``setting``, ``importance`` (sum 1), most important first; without rows when fewer than
        `FEWEST` trials are complete.
    best : Recipe
        The recipe with the settings of the best trial.
    facts : mapping
        Of the study, for provenance, JSON-ready.
    """

    trials: Table
    importance: Table
    best: Recipe
    facts: Mapping[str, Any]

    def signed(self, model: Model) -> Model:
        """The model with a note in its provenance that its settings come from the study."""
        provenance = {**model.provenance, "tuning": dict(self.facts)}
        return dataclasses.replace(model, provenance=provenance)


def findings_of(study: Study, job: Job) -> Findings:
    """Tables, best recipe and facts of a study.

    Raises
    ------
    TrainingError
        If no trial has been completed.
    """
    recipe, space = Recipe.from_dict(job.recipe), Space.from_dict(job.space)
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state.name == "COMPLETE" and math.isfinite(t.value or 0)]
    if not complete:
        raise TrainingError(
            f"No trial of the study {job.name!r} in {shown(job.study)} is complete "
            f"({len(trials)} begun). Give it more --trials or more --minutes."
        )
    best = min(complete, key=lambda t: (t.value, t.number))
    values = space.values(best.params)
    chosen = dataclasses.replace(with_values(recipe, values), name=f"{recipe.name}-tuned")
    table = trial_table(trials, space)
    facts = _facts(job, recipe, table, best, values)
    return Findings(table, importance_table(study, len(complete)), chosen, facts)


def trial_table(trials: list[FrozenTrial], space: Space) -> Table:
    """All trials; see `Findings`."""
    rows = [_row(trial, space) for trial in trials]
    values = np.array([row["value"] for row in rows])
    counted = np.array([row["state"] == "complete" for row in rows])
    running = np.minimum.accumulate(np.where(counted, values, np.inf))
    for row, best in zip(rows, running, strict=True):
        row["best"] = float(best) if np.isfinite(best) else math.nan
    return Table(rows=rows)


def importance_table(study: Study, n_complete: int) -> Table:
    """Which settings matter, by PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).

    It tells how far the settings of the best trials differ from those of all complete ones.
    """
    names = ("setting", "importance")
    if n_complete < FEWEST:
        return Table({"setting": np.zeros(0, dtype="U1"), "importance": np.zeros(0)}, names=names)
    optuna = require_optuna()
    with quiet():
        judge = optuna.importance.PedAnovaImportanceEvaluator(
            target_quantile=min(0.5, max(0.2, 5 / n_complete))
        )
        found = optuna.importance.get_param_importances(study, evaluator=judge)
    return Table({"setting": list(found), "importance": list(found.values())}, names=names)


def _row(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    attributes = trial.user_attrs
    begun, ended = trial.datetime_start, trial.datetime_complete
    worker = attributes.get(WORKER, {})
    row = {
        "number": trial.number,
        "state": _state(trial),
        "value": math.nan if trial.value is None else float(trial.value),
        "best": math.nan,
        "epochs": len(trial.intermediate_values),
        "begun": begun.isoformat(timespec="milliseconds") if begun else "",
        "seconds": round((ended - begun).total_seconds(), 2) if begun and ended else math.nan,
        "worker": f"{worker['host']}:{worker['pid']}" if worker else "",
        "retry_of": int(attributes.get(RETRY_OF, -1)),
        "retries": int(attributes.get(RETRIES, 0)),
        "reason": str(attributes.get(REASON, "")),
    }
    return row | {name: _cell(trial.params.get(name), space, name) for name in space.settings}


def _cell(drawn: Any, space: Space, name: str) -> Any:
    if space.settings[name].kind == "choice":
        return "" if drawn is None else str(drawn)
    return math.nan if drawn is None else float(drawn)


def _state(trial: FrozenTrial) -> str:
    state = trial.state.name.lower()
    if state == "fail":
        return "lost" if is_lost(trial) else "failed"
    return "failed" if trial.user_attrs.get(REASON) else state


def _facts(
    job: Job, recipe: Recipe, table: Table, best: FrozenTrial, values: Mapping[str, Any]
) -> dict[str, Any]:
    states = [str(state) for state in table["state"]]
    values_found = np.asarray(table["value"], dtype=float)
    whole = len(start_of(Space.from_dict(job.space), recipe)) == len(job.space["settings"])
    return {
        "study": job.name,
        "recipe": recipe.name,
        "space": dict(job.space),
        "objective": "mean over labels of the robust scatter of validation stars, scaled labels",
        "sampler": "TPE",
        "pruner": job.pruner,
        "folds": job.folds,
        "seed": job.seed,
        "optuna": require_optuna().__version__,
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "best_trial": best.number,
        "best_value": best.value,
        # the first trial is the recipe itself only where the space holds all that it states
        "first_value": float(values_found[0]) if whole and states[0] == "complete" else None,
        "settings": dict(values),
    }
