"""Checkpoints: one safetensors file whose header carries the rest as JSON; no pickle.

One file, replaced in one step: a run that is killed at any moment leaves the last whole
checkpoint behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from starnet.errors import OutputError, TrainingError

FILE = "checkpoint.safetensors"
FORMAT = 1


def ready_folder(folder: Path) -> None:
    """Makes the folder and tries to write in it, so that no hour of training is lost to it.

    Raises
    ------
    OutputError
        When it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"Checkpoints cannot be written to {folder}: {error}. Choose another folder."
        ) from error


def write_checkpoint(folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Writes ``folder/checkpoint.safetensors`` in one step.

    Raises
    ------
    OutputError
        When it cannot be written; an earlier checkpoint is then still whole.
    """
    path = folder / FILE
    part = folder / f"{FILE}.part{os.getpid()}"
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = {"starnet": json.dumps({"format": FORMAT, **facts})}
    try:
        safetensors.torch.save_file(whole, part, metadata=header)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(
            f"The checkpoint {path} cannot be written: {error}. "
            "Free some space or choose another folder; the last whole checkpoint is kept."
        ) from error
    return path


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of the folder's checkpoint, or None where there is none.

    Raises
    ------
    TrainingError
        When the file is damaged or of another format.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["starnet"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            f"The checkpoint {path} is damaged or no checkpoint of StarNet ({error}); "
            "remove it, or start anew with resume=False."
        ) from error
    if facts.get("format") != FORMAT:
        raise TrainingError(
            f"The checkpoint {path} has format {facts.get('format')}, this version reads "
            f"{FORMAT}; start anew with resume=False."
        )
    return tensors, facts


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under ``PREFIX/NAME``."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `with_prefix` named, under their own names."""
    start = f"{prefix}/"
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
