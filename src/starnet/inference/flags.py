"""What can be wrong with a label, as documented bits of the ``*_flag`` columns."""

from __future__ import annotations

from enum import IntFlag


class LabelFlag(IntFlag):
    """Bits of the flag of one label of one spectrum. Zero is good.

    The numbers are part of the file formats: they never change their meaning.
    """

    OUTSIDE_BOUNDS = 1
    """The value lies outside the range of the training labels: an extrapolation."""
    MANY_MASKED = 2
    """More pixels are masked than the limit allows (`Predictor.max_masked`)."""
    FAILED = 4
    """No value: the file could not be read or no pixel can be used. The label is NaN."""


MEANINGS = {
    LabelFlag.OUTSIDE_BOUNDS: "value outside the range of the training labels",
    LabelFlag.MANY_MASKED: "too many masked pixels",
    LabelFlag.FAILED: "no value: unreadable file or no usable pixel",
}
"""Each bit in words, for tables, headers and documentation."""


def legend() -> str:
    """One line: ``1 = ..., 2 = ...``."""
    return "; ".join(f"{bit.value} = {text}" for bit, text in MEANINGS.items())
