"""What can be wrong with a label, as documented bits of the ``*_flag`` columns."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LabelFlag(IntFlag):
    """Bits of the flag of one label of one spectrum. Zero is good.

    The numbers are part of the file formats: they never change their meaning.
    """

    OUTSIDE_BOUNDS = 1
    """The value lies outside the range of the training labels: an extrapolation."""
    MANY_MASKED = 2
    """More pixels are masked than the limit allows (`Predictor.max_masked`)."""
    FAILED = 4
    """No value: the file could not be read, no pixel can be used, or S/N is below the limit."""
    LOW_SNR = 8
    """Signal to noise is below the limit (`Predictor.min_snr`); the label is NaN."""
    POOR_FIT = 16
    """The emulated spectrum of these labels is not the spectrum; see `inference.cycle`."""
    EMPTY_CHIP = 32
    """A chip has next to no good pixels (`Predictor`)."""
    NOT_CONVERGED = 64
    """A fit of the labels did not converge (`starnet fit`)."""
    BAD_VELOCITY = 128
    """The velocity that took the spectrum to rest is unknown, uncertain or wrong."""
    OUTSIDE_HULL = 256
    """Teff, log g and [Fe/H] together lie where the emulator has no training stars."""
    EMISSION = 512
    """Lines stand above the continuum."""
    UNLIKE_TRAINING = 1024
    """The spectrum is unlike all that the model learnt from; see `inference.novelty`."""
    NOT_MEASURED = 2048
    """These pixels hardly constrain the label: its error is near the spread of the training set;
    see `inference.information`."""
    MEMBERS_DISAGREE = 4096
    """The members of an ensemble differ by more than their error; see `inference.information`."""


MEANINGS = {
    LabelFlag.OUTSIDE_BOUNDS: "value outside the range of the training labels",
    LabelFlag.MANY_MASKED: "too many masked pixels",
    LabelFlag.FAILED: "no value: unreadable file, no usable pixel or too little signal",
    LabelFlag.LOW_SNR: "signal to noise too low",
    LabelFlag.POOR_FIT: "the emulated spectrum of these labels is not the observed one",
    LabelFlag.EMPTY_CHIP: "a chip without data",
    LabelFlag.NOT_CONVERGED: "the fit did not converge",
    LabelFlag.BAD_VELOCITY: "velocity unknown, uncertain or wrong",
    LabelFlag.OUTSIDE_HULL: "teff, logg and fe_h outside what the emulator learnt",
    LabelFlag.EMISSION: "emission lines",
    LabelFlag.UNLIKE_TRAINING: "spectrum unlike the training set",
    LabelFlag.NOT_MEASURED: "label hardly constrained by these pixels",
    LabelFlag.MEMBERS_DISAGREE: "members of the ensemble disagree",
}
"""Each bit in words, for tables, headers and documentation."""


MAIN = ("teff", "logg", "fe_h")
OF_A_LABEL = (
    LabelFlag.OUTSIDE_BOUNDS
    | LabelFlag.FAILED
    | LabelFlag.NOT_MEASURED
    | LabelFlag.MEMBERS_DISAGREE
)
"""Bits that may hold for one label and not for its star."""


def of_the_star(flags: NDArray[Any], names: Sequence[str]) -> NDArray[Any]:
    """The flag of each star (N,), of those of its labels (N, L).

    Every bit that any label has; but where a model gives `MAIN` labels, what is wrong with one
    label alone (`OF_A_LABEL`) speaks for the star only if it is one of them: a weak abundance says
    so in its own column.
    """
    kept = np.array(flags)
    if any(name in MAIN for name in names):
        own = int(OF_A_LABEL)
        others = np.array([name not in MAIN for name in names])
        kept[:, others] &= ~own
    return np.bitwise_or.reduce(kept, axis=1)


def legend() -> str:
    """One line: ``1 = ..., 2 = ...``."""
    return "; ".join(f"{bit.value} = {text}" for bit, text in MEANINGS.items())


def flag_words(flag: int) -> str:
    """Names of the bits that are set, such as ``LOW_SNR+FAILED``; empty for 0."""
    return "+".join(bit.name or "" for bit in LabelFlag if int(flag) & bit)
