"""The command line, one file for each verb."""

from starnet.cli import (
    assess,
    bench,
    calibrate,
    dataset,
    demo,
    download,
    explain,
    fit,
    info,
    physics,
    plot,
    predict,
    synth,
    train,
    train_synthetic,
    tune,
)
from starnet.cli._app import app, main

__all__ = [
    "app",
    "assess",
    "bench",
    "calibrate",
    "dataset",
    "demo",
    "download",
    "explain",
    "fit",
    "info",
    "main",
    "physics",
    "plot",
    "predict",
    "synth",
    "train",
    "train_synthetic",
    "tune",
]
