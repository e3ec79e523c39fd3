"""Adapters to engines of others, behind the contract of every synthesizer.

`pysme` runs in this process; `turbospectrum`, `synspec` and `korg` are programs found on the user's
machine; `grid` interpolates spectra that were computed before. Each is loaded when it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from starnet.synthesis.contract import Synthesizer, register

_MEMBERS = {
    "pysme": "PySME",
    "turbospectrum": "Turbospectrum",
    "synspec": "Synspec",
    "korg": "Korg",
    "grid": "SpectrumGrid",
}


def _factory(module: str, name: str) -> Callable[..., Synthesizer]:
    def build(**settings: Any) -> Synthesizer:
        return getattr(import_module(f"{__name__}.{module}"), name)(**settings)

    return build


for _module, _name in _MEMBERS.items():
    register(_module, _factory(_module, _name))

__all__: list[str] = []
