"""From a trained model and spectra to labels, with errors and flags."""

from starnet.inference.calibration import CalibratedPosterior, Calibration
from starnet.inference.choose import Chooser, load_all, load_predictor, shipped_models
from starnet.inference.cycle import Cycle, cycle
from starnet.inference.drawn import draw_spectra
from starnet.inference.flags import MEANINGS, LabelFlag, flag_words, legend
from starnet.inference.novelty import Novelty
from starnet.inference.posterior import LabelPosterior, MixturePosterior, SampledPosterior
from starnet.inference.predict import Prediction, Predictor
from starnet.inference.velocity import Velocities, measure_velocity, to_rest

__all__ = [
    "MEANINGS",
    "CalibratedPosterior",
    "Calibration",
    "Chooser",
    "Cycle",
    "LabelFlag",
    "LabelPosterior",
    "MixturePosterior",
    "Novelty",
    "Prediction",
    "Predictor",
    "SampledPosterior",
    "Velocities",
    "cycle",
    "draw_spectra",
    "flag_words",
    "legend",
    "load_all",
    "load_predictor",
    "measure_velocity",
    "shipped_models",
    "to_rest",
]
