"""The command line, one file for each verb."""

from starnet.cli import (
    assess,
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
    "assess",
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
