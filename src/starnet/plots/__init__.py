"""Figures of results. Nothing is computed here that a table does not hold."""

from starnet.plots._style import axis_name, label_name, save
from starnet.plots.labels import kiel, one_to_one, residuals
from starnet.plots.training import training_curve

__all__ = [
    "axis_name",
    "kiel",
    "label_name",
    "one_to_one",
    "residuals",
    "save",
    "training_curve",
]
