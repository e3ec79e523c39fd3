"""StarNet: stellar spectra to labels with neural networks, and back.

Three calls do the work; the rooms below them give full control::

    spectra = starnet.read("folder/*.fits")
    model = starnet.train("training.zarr", out="my-model")
    table = starnet.load("my-model").predict(spectra).to_table()

Importing the package does no input or output and loads no network library: that happens when one
of the calls is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from starnet._version import __version__

if TYPE_CHECKING:
    from starnet.api import load, read, train

__all__ = ["__version__", "load", "read", "train"]


def __getattr__(name: str) -> Any:
    if name in ("load", "read", "train"):
        return getattr(importlib.import_module("starnet.api"), name)
    raise AttributeError(f"module 'starnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
