"""The command line, one file for each verb."""

from starnet.cli import (
    dataset,
    demo,
    download,
    fit,
    info,
    physics,
    plot,
    predict,
    synth,
    train,
    train_synthetic,
)
from starnet.cli._app import app, main

__all__ = [
    "app",
    "dataset",
    "demo",
    "download",
    "fit",
    "info",
    "main",
    "physics",
    "plot",
    "predict",
    "synth",
    "train",
    "train_synthetic",
]
