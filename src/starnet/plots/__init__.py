"""Figures of results. Nothing is computed here that a table does not hold."""

from starnet.plots._style import axis_name, label_name, save
from starnet.plots.abundances import abundance_planes
from starnet.plots.cycle import cycle_panels
from starnet.plots.labels import kiel, one_to_one, residuals
from starnet.plots.limits import comparison, over_limit
from starnet.plots.sequence import sequence
from starnet.plots.stars import reconstructions
from starnet.plots.training import training_curve

__all__ = [
    "abundance_planes",
    "axis_name",
    "comparison",
    "cycle_panels",
    "kiel",
    "label_name",
    "one_to_one",
    "over_limit",
    "reconstructions",
    "residuals",
    "save",
    "sequence",
    "training_curve",
]
