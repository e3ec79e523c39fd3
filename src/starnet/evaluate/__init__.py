"""Metrics of predicted labels, their errors held against truth and repeats, and the limit."""

from starnet.evaluate.assess import assess_repeats, assess_truth
from starnet.evaluate.attenuation import Attenuation, attenuation, attenuations, error_of_repeats
from starnet.evaluate.limits import cramer_rao
from starnet.evaluate.metrics import MAD_TO_SIGMA, residual_table, robust_scatter
from starnet.evaluate.repeats import RepeatRatio, VisitPairs, repeat_ratio
from starnet.evaluate.results import Assessment, RepeatAssessment
from starnet.evaluate.scores import (
    LEVELS,
    binomial_band,
    coverage,
    coverage_of_pit,
    crps,
    crps_of_samples,
    pit,
    ranks,
    sharpness,
    z_scores,
)
from starnet.evaluate.strata import EDGES, Stratum, strata

__all__ = [
    "EDGES",
    "LEVELS",
    "MAD_TO_SIGMA",
    "Assessment",
    "Attenuation",
    "RepeatAssessment",
    "RepeatRatio",
    "Stratum",
    "VisitPairs",
    "assess_repeats",
    "assess_truth",
    "attenuation",
    "attenuations",
    "binomial_band",
    "coverage",
    "coverage_of_pit",
    "cramer_rao",
    "crps",
    "crps_of_samples",
    "error_of_repeats",
    "pit",
    "ranks",
    "repeat_ratio",
    "residual_table",
    "robust_scatter",
    "sharpness",
    "strata",
    "z_scores",
]
