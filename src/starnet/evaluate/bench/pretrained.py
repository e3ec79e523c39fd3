"""Readers that fine-tuning starts from: trained on synthetic spectra once, for all cells alike."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starnet._version import __version__
from starnet.evaluate.bench.entries import Entry
from starnet.evaluate.bench.models import digests, pretraining

Call = Callable[[Mapping[str, Any], Path], tuple[str, str]]
"""Does a task in a process of its own; gives its status and the reason of a failure."""
PARTS = ("name", "reader", "windows")
"""Of a recipe for fine-tuning: what its readers depend on."""
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Readers:
    """The folder of readers.

    Parameters
    ----------
    folder : Path
    call : callable
        See `Call`.
    """

    folder: Path
    call: Call

    def wanted(self, entry: Entry) -> dict[str, Any] | None:
        """The recipe whose readers an entry needs; None for one that needs none."""
        if entry.kind != "finetune" or entry.readers:
            return None
        return dict(entry.settings)

    def of(self, task: Mapping[str, Any]) -> tuple[list[str], float, str, str]:
        """Folders of a cell's readers, the seconds that they took; status, and why there are none.

        The first cell that needs them trains them; the others wait.
        """
        if (recipe := task.get("recipe")) is None:
            return [_place(name) for name in task["entry"]["readers"]], 0.0, "done", ""
        own = {name: recipe[name] for name in PARTS}
        text = json.dumps([__version__, own, digests(pretraining(recipe))], sort_keys=True)
        folder = self.folder / hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        with _LOCK:
            if (known := _known(folder)) is None:
                note = folder / "note.json"
                made = {"do": "pretrain", "recipe": recipe, "out": str(folder), "note": str(note)}
                status, reason = self.call(made, self.folder / f"{folder.name}.log")
                known = _known(folder)
                if status != "done" or known is None:
                    status = "killed" if status == "done" else status
                    return [], 0.0, status, f"its readers could not be trained: {reason}"
        folders = [str(folder / name) for name in known["names"]]
        return folders, float(known["seconds"]), "done", ""


def _known(folder: Path) -> dict[str, Any] | None:
    try:
        known = json.loads((folder / "note.json").read_text())
        return known if all((folder / name).is_dir() for name in known["names"]) else None
    except (OSError, ValueError, KeyError):
        return None


def _place(name: str) -> str:
    """Folder of a model of the package, or one of the user's."""
    from starnet.inference import shipped_models

    return str(shipped_models().get(name, Path(name).resolve()))
