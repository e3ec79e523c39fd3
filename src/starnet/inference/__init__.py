"""From a trained model and spectra to labels, with errors and flags."""

from starnet.inference.choose import Chooser, load_all, load_predictor, shipped_models
from starnet.inference.cycle import Cycle, cycle
from starnet.inference.flags import MEANINGS, LabelFlag, flag_words, legend
from starnet.inference.posterior import LabelPosterior, MixturePosterior, SampledPosterior
from starnet.inference.predict import Prediction, Predictor
from starnet.inference.velocity import Velocities, measure_velocity, to_rest

__all__ = [
    "MEANINGS",
    "Chooser",
    "Cycle",
    "LabelFlag",
    "LabelPosterior",
    "MixturePosterior",
    "Prediction",
    "Predictor",
    "SampledPosterior",
    "Velocities",
    "cycle",
    "flag_words",
    "legend",
    "load_all",
    "load_predictor",
    "measure_velocity",
    "shipped_models",
    "to_rest",
]
