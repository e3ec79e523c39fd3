"""Figures of results. Nothing is computed here that a table does not hold."""

from starnet.plots._style import axis_name, label_name, save
from starnet.plots.abundances import abundance_planes
from starnet.plots.calibration import (
    coverage_curves,
    coverage_points,
    stratum_map,
    uniform_histograms,
    z_trends,
)
from starnet.plots.cycle import cycle_panels
from starnet.plots.labels import kiel, one_to_one, residuals
from starnet.plots.limits import comparison, over_limit
from starnet.plots.page import Page
from starnet.plots.repeats import difference_histograms, ratios
from starnet.plots.response import response_matrix
from starnet.plots.sensitivity import sensitivity_map
from starnet.plots.sequence import sequence
from starnet.plots.stars import reconstructions
from starnet.plots.training import training_curve

__all__ = [
    "Page",
    "abundance_planes",
    "axis_name",
    "comparison",
    "coverage_curves",
    "coverage_points",
    "cycle_panels",
    "difference_histograms",
    "kiel",
    "label_name",
    "one_to_one",
    "over_limit",
    "ratios",
    "reconstructions",
    "residuals",
    "response_matrix",
    "save",
    "sensitivity_map",
    "sequence",
    "stratum_map",
    "training_curve",
    "uniform_histograms",
    "z_trends",
]
