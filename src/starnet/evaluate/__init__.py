"""Metrics of predicted labels, and the limit of what can be known."""

from starnet.evaluate.limits import cramer_rao
from starnet.evaluate.metrics import MAD_TO_SIGMA, residual_table, robust_scatter

__all__ = ["MAD_TO_SIGMA", "cramer_rao", "residual_table", "robust_scatter"]
