"""Equivalent widths of lines of iron: measured, and brought into balance."""

from starnet.baselines.widths.method import EquivalentWidths, FittedWidths

__all__ = ["EquivalentWidths", "FittedWidths"]
