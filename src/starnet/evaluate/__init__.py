"""Metrics of predicted labels."""

from starnet.evaluate.metrics import MAD_TO_SIGMA, residual_table, robust_scatter

__all__ = ["MAD_TO_SIGMA", "residual_table", "robust_scatter"]
