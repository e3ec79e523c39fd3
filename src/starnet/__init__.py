"""StarNet: stellar spectra to labels with neural networks, and back.

Four calls do the work; the rooms below them give full control::

    spectra = starnet.read("folder/*.fits")
    model = starnet.train("training.zarr", out="my-model")
    table = starnet.load("my-model").predict(spectra).to_table()
    made = starnet.synthesize({"teff": 5777, "logg": 4.44, "fe_h": 0.0}, "apogee")

Importing the package does no input or output and loads no network library: that happens when one
of the calls is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from starnet._version import __version__

if TYPE_CHECKING:
    from starnet.api import load, read, synthesize, train

__all__ = ["__version__", "load", "read", "synthesize", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("starnet.api"), name)
    raise AttributeError(f"module 'starnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
