"""Short names of what results depend on that no setting tells: models, emulators, code.

A name stands for files, and these change when a model is trained anew: what was computed with the
former files must not be taken for what the new ones say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from starnet._shipped import shipped_folders
from starnet.evaluate.bench.entries import Entry

CODE = ("baselines", "models", "training", "inference", "preprocess", "evaluate/bench")
"""Rooms of the package that a result comes from."""


def code_digest() -> str:
    """Of the code of methods that is installed: results of other code are told of."""
    room = Path(str(resources.files("starnet")))
    found = hashlib.blake2b(digest_size=8)
    for path in sorted(path for name in CODE for path in (room / name).rglob("*.py")):
        found.update(str(path.relative_to(room)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def models_of(entry: Entry) -> dict[str, str]:
    """Digest of each model and emulator that an entry names; empty for one that names none."""
    if entry.kind == "reader":
        named = [("models", entry.settings["model"])]
    elif entry.kind == "finetune":
        named = [("models", name) for name in entry.readers] or pretraining(entry.settings)
    else:
        named = [("emulators", entry.settings.get("emulator"))]
    return digests(named)


def pretraining(recipe: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Kind and name of what the readers of a recipe for fine-tuning are made of."""
    reader = recipe.get("reader", {})
    return [("models", reader.get("shipped")), ("emulators", reader.get("emulator"))]


def digests(named: list[tuple[str, Any]]) -> dict[str, str]:
    """Digest by kind and name; what is no name is left out."""
    return {
        f"{kind}/{name}": _digest(shipped_folders(kind).get(name, Path(name)))
        for kind, name in named
        if isinstance(name, str) and name
    }


def _digest(folder: Path) -> str:
    """Of the files in a folder; empty where there is none, which is for the method to say."""
    if not folder.is_dir():
        return ""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()
