"""Where engines come from: the one place of this room that knows how to open a synthesizer."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from starnet.errors import ConfigError
from starnet.synthesis.contract import Synthesizer, build_synthesizer

PLACES = ("physics", "device", "path")
"""Settings that say where inputs lie and what computes, not what comes out."""
ROOMS = ("starnet.synthesis", "starnet.synthesis.engines")
"""What registers the engines of the package when it is imported."""
LOCK = threading.Lock()
"""Held while an engine works: threads of one process take turns."""


def open_engine(name: str, settings: Mapping[str, Any]) -> Synthesizer:
    """An engine by name.

    Parameters
    ----------
    name : str
        One of `starnet.synthesis.engine_names`, or ``module:name`` for an engine of your own: the
        module is imported, and shall register that name.
    settings : mapping
        Handed to the engine.

    Raises
    ------
    ConfigError
        If there is no such engine, or it does not take the settings.
    """
    for room in ROOMS:
        importlib.import_module(room)
    module, _, own = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"The engine {name!r} cannot be opened: {error}. The module must be installed, or "
                "lie where Python looks for modules (PYTHONPATH)."
            ) from error
    try:
        return build_synthesizer(own, **settings)
    except TypeError as error:
        raise ConfigError(f"The engine {own!r} does not take these settings: {error}.") from error


def opened(engine: Mapping[str, Any]) -> Synthesizer:
    """The engine of a plan, opened once in each process."""
    return _opened(json.dumps(engine, sort_keys=True))


@lru_cache(maxsize=1)
def _opened(text: str) -> Synthesizer:
    settings = json.loads(text)
    return open_engine(settings.pop("name"), settings)


def without_places(settings: Any) -> Any:
    """Settings without those that do not change the spectra (`PLACES`), at any depth."""
    if isinstance(settings, Mapping):
        return {k: without_places(v) for k, v in settings.items() if k not in PLACES}
    if isinstance(settings, list | tuple):
        return [without_places(item) for item in settings]
    return settings
