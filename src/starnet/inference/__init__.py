"""From a trained model and spectra to labels, with flags."""

from starnet.inference.flags import MEANINGS, LabelFlag, legend
from starnet.inference.predict import Prediction, Predictor

__all__ = ["MEANINGS", "LabelFlag", "Prediction", "Predictor", "legend"]
