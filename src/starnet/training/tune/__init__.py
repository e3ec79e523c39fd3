"""Hyperparameters searched with Optuna: many workers, one study, and the best recipe of it.

job = Job("stars.zarr", recipe.to_dict(), space.to_dict(), "study.journal", trials=60)
findings = tune(job, workers=2)
train_model(dataset, findings.best)
"""

from starnet.training.tune.findings import Findings
from starnet.training.tune.objective import Objective
from starnet.training.tune.search import tune
from starnet.training.tune.settings import check_space, known_settings, with_values
from starnet.training.tune.space import Entry, Space, load_space, space_names
from starnet.training.tune.worker import Job

__all__ = [
    "Entry",
    "Findings",
    "Job",
    "Objective",
    "Space",
    "check_space",
    "known_settings",
    "load_space",
    "space_names",
    "tune",
    "with_values",
]
