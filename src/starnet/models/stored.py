"""A folder with weights and a readable description: how every trained thing is kept.

``weights.safetensors`` holds numbers and a JSON file holds all else, with the checksum of the
numbers. Nothing in it is code, and reading it runs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from starnet._version import __version__
from starnet.errors import ModelError, OutputError

JSON_NAME = "model.json"
WEIGHTS_NAME = "weights.safetensors"


def write_folder(
    folder: str | Path,
    about: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    overwrite: bool = False,
    half: bool = False,
) -> Path:
    """Write a description and weights as a folder, whole or not at all.

    Parameters
    ----------
    folder : path
    about : mapping
        JSON-ready; ``format`` and ``format_version`` say what it is.
    state : mapping of name to tensor
    overwrite : bool
        Replace a folder of the same format.
    half : bool
        Keep floating-point weights as float16, half the size.

    Raises
    ------
    OutputError
        If the folder exists and may not be replaced, or cannot be written.
    """
    folder = Path(folder)
    check_output(folder, str(about["format"]), overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(partial, about, state, half)
            _replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"The model cannot be written to {folder}: {error}.") from error
    return folder


def _write(folder: Path, about: Mapping[str, Any], state: Mapping[str, Tensor], half: bool) -> None:
    def kept(value: Tensor) -> Tensor:
        value = value.detach().cpu().contiguous()
        return value.half() if half and value.is_floating_point() else value

    save_file({name: kept(value) for name, value in state.items()}, folder / WEIGHTS_NAME)
    (folder / WEIGHTS_NAME).chmod(0o644)  # colleagues read it too
    whole = {**about, "weights_sha256": _sha256(folder / WEIGHTS_NAME)}
    (folder / JSON_NAME).write_text(_readable_json(whole))
    folder.chmod(0o755)


def read_about(folder: str | Path, form: str, version: int) -> dict[str, Any]:
    """The description in a folder that `write_folder` wrote.

    Raises
    ------
    ModelError
        If it is absent, unreadable, of another format, or newer than ``version``.
    """
    path = Path(folder) / JSON_NAME
    try:
        about = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(
            f"{path.parent} is no StarNet model: a model is a folder with {JSON_NAME} and "
            f"{WEIGHTS_NAME}, as `starnet train` writes it."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not isinstance(about, dict) or about.get("format") != form:
        raise ModelError(f"{path} does not describe a StarNet model (no format: {form}).")
    if about.get("format_version", 0) > version:
        raise ModelError(
            f"{path} has format version {about['format_version']}, newer than this StarNet "
            f"({__version__}, format {version}) can read. Upgrade starnet."
        )
    return about


def read_weights(folder: str | Path, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights that belong to a description; those kept in half precision become float32.

    Raises
    ------
    ModelError
        If they are absent or damaged.
    """
    path = Path(folder) / WEIGHTS_NAME
    if not path.is_file() or _sha256(path) != about.get("weights_sha256"):
        raise ModelError(
            f"{path} is absent or does not belong to {path.parent / JSON_NAME} (its checksum "
            "differs). Copy the whole folder again from where it was trained."
        )
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}


def check_output(folder: str | Path, form: str, *, overwrite: bool) -> None:
    """Raise `OutputError` now, before hours of work, if a model cannot be saved there.

    Only what has the same format is ever replaced, and only on purpose.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if not overwrite:
        raise OutputError(f"{folder} exists. Choose another name, or overwrite it on purpose.")
    try:
        read_about(folder, form, 1 << 30)
    except ModelError as error:
        raise OutputError(
            f"{folder} exists and is no StarNet model; it is not replaced. Choose another name."
        ) from error


def weights_digest(network: nn.Module) -> str:
    """Twelve letters that tell one set of weights from another: the version of a model."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _readable_json(data: Mapping[str, Any]) -> str:
    """Indented JSON with each list of numbers on one line; what is not a number is null."""
    text = json.dumps(_plain(data), indent=1, allow_nan=False)
    lists = re.compile(r"\[\s+([^\[\]{}\"]*?)\s+\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(new: Path, old: Path) -> None:
    """Put a finished folder in the place of an old one, which is gone only afterwards."""
    if not old.exists():
        os.replace(new, old)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{old.name}.", dir=old.parent))
    os.replace(old, aside / "model")
    os.replace(new, old)
    shutil.rmtree(aside, ignore_errors=True)
