"""Data sets on disk: build them from files and labels, open them, split them, stream them."""

from starnet.dataset.build import build
from starnet.dataset.nearby import find_labels
from starnet.dataset.report import REASONS, BuildReport
from starnet.dataset.split import k_folds, split_by_star
from starnet.dataset.store import SpectraDataset, open_dataset
from starnet.dataset.stream import Batch, SpectraStream
from starnet.dataset.table import LabelTable
from starnet.dataset.writer import DatasetWriter, from_arrays

__all__ = [
    "REASONS",
    "Batch",
    "BuildReport",
    "DatasetWriter",
    "LabelTable",
    "SpectraDataset",
    "SpectraStream",
    "build",
    "find_labels",
    "from_arrays",
    "k_folds",
    "open_dataset",
    "split_by_star",
]
