"""Transforms of spectra, `Spectra -> Spectra`, and the pipeline that composes them.

A pipeline is part of a saved model, so that a network is fed what it was trained on::

    pipeline = Pipeline((ToRest(), Resample(grid), RunningQuantile(100.0), AddNoise(snr=(20, 200))))
    training_input = pipeline(spectra, rng)
    prediction_input = pipeline.deterministic()(spectra)
"""

from starnet.preprocess._contract import TRANSFORMS, Pipeline, Transform, register
from starnet.preprocess.augment import (
    AddNoise,
    ContinuumShape,
    LineJitter,
    LSFJitter,
    MaskRandom,
    RVJitter,
)
from starnet.preprocess.chip_median import ChipMedian, Standard2018
from starnet.preprocess.continuum import PolynomialContinuum, SplineContinuum
from starnet.preprocess.doppler import DopplerShift, ToRest
from starnet.preprocess.lsf import MatchLSF
from starnet.preprocess.masked import FillMasked, InterpolateMasked
from starnet.preprocess.pixels import ClipFlux, MaskPixels, SelectPixels
from starnet.preprocess.quantile import RunningQuantile
from starnet.preprocess.resample import Resample

__all__ = [
    "TRANSFORMS",
    "AddNoise",
    "ChipMedian",
    "ClipFlux",
    "ContinuumShape",
    "DopplerShift",
    "FillMasked",
    "InterpolateMasked",
    "LSFJitter",
    "LineJitter",
    "MaskPixels",
    "MaskRandom",
    "MatchLSF",
    "Pipeline",
    "PolynomialContinuum",
    "RVJitter",
    "Resample",
    "RunningQuantile",
    "SelectPixels",
    "SplineContinuum",
    "Standard2018",
    "ToRest",
    "Transform",
    "register",
]
