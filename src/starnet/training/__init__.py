"""Training: recipes, the fit loop, checkpoints, and from a data set to a model."""

from starnet.training.config import TrainingConfig
from starnet.training.history import Epoch, History
from starnet.training.loop import choose_device, fit
from starnet.training.recipe import Recipe, load_recipe, recipe_names
from starnet.training.streams import ArrayStream, Batch, Stream
from starnet.training.train import TrainingResult, split_rows, train_model

__all__ = [
    "ArrayStream",
    "Batch",
    "Epoch",
    "History",
    "Recipe",
    "Stream",
    "TrainingConfig",
    "TrainingResult",
    "choose_device",
    "fit",
    "load_recipe",
    "recipe_names",
    "split_rows",
    "train_model",
]
