"""The model file: the one place where training and inference meet.

A model is a folder with two files. ``weights.safetensors`` holds the numbers of the network.
``model.json`` holds, readable, all else that prediction needs: the network's configuration, the
grid and frame of the spectra it reads, the preprocessing, the labels with units, scales and
bounds, and where it all came from. Nothing in it is code, and loading runs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from starnet._version import __version__
from starnet.errors import FrameError, GridError, ModelError, OutputError, StarNetError
from starnet.models import build_network, config_to_dict
from starnet.preprocess import Pipeline, Resample, ToRest
from starnet.spectra import LabelScale, Spectra, WavelengthGrid, label_spec
from starnet.spectra.batch import Frame

FORMAT = "starnet-model"
FORMAT_VERSION = 1
JSON_NAME = "model.json"
WEIGHTS_NAME = "weights.safetensors"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with everything that is needed to use it.

    Parameters
    ----------
    network : nn.Module
        Takes (B, C, P) inputs and gives (B, L) scaled labels.
    scale : LabelScale
        Names, scales and training bounds of the L labels.
    pipeline : Pipeline
        From spectra as they are read to spectra as the network sees them.
    input_grid, input_frame
        Grid and frame of the spectra that it was trained on, before the pipeline.
    mask_channel : bool
        Whether the mask is a second input channel.
    name : str
        What the model is called in tables and messages.
    provenance : dict
        Data set, split, settings, versions and history of the training.
    """

    network: nn.Module
    scale: LabelScale
    pipeline: Pipeline
    input_grid: WavelengthGrid
    input_frame: Frame
    mask_channel: bool = False
    name: str = "starnet"
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in order."""
        return self.scale.names

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the labels, in order."""
        return tuple(label_spec(name).unit for name in self.labels)

    @property
    def grid(self) -> WavelengthGrid:
        """Grid that the network sees."""
        return self.pipeline.output_grid(self.input_grid, self.input_frame)[0]

    def prepare(self, spectra: Spectra) -> Spectra:
        """Spectra as the network sees them.

        Raises
        ------
        GridError
            If the spectra are on another grid than the model reads.
        FrameError
            If they are in another frame or medium.
        """
        self.check(spectra.grid, spectra.frame)
        return self.pipeline.deterministic()(spectra)

    def adapt(self, spectra: Spectra) -> Spectra:
        """Spectra brought to the frame and grid that the model reads, as far as they reach.

        Observed spectra are shifted to rest by their own velocities (``meta["rv"]``) and
        resampled; pixels that they do not cover are masked. Line spreads are left as they are.

        Raises
        ------
        FrameError
            If the model reads observed spectra and these are at rest.
        GridError
            If the spectra do not overlap with the grid.
        """
        if self.input_frame == "rest":
            spectra = ToRest()(spectra)
        spectra.require(frame=self.input_frame)
        return Resample(self.input_grid)(spectra)

    def check(self, grid: WavelengthGrid, frame: Frame) -> None:
        """Refuse a grid or frame that the model was not trained for; see `prepare`."""
        try:
            out, out_frame = self.pipeline.output_grid(grid, frame)
        except GridError as error:
            raise GridError(self._refusal(grid, frame)) from error
        wanted, wanted_frame = self.pipeline.output_grid(self.input_grid, self.input_frame)
        if out_frame != wanted_frame or out.medium != wanted.medium or not wanted.matches(out):
            error_type = GridError if out_frame == wanted_frame else FrameError
            raise error_type(self._refusal(grid, frame))

    def _refusal(self, grid: WavelengthGrid, frame: Frame) -> str:
        return (
            f"The model {self.name!r} reads spectra on {self.input_grid.describe()} in the "
            f"{self.input_frame} frame; these are on {grid.describe()} in the {frame} frame. "
            "Bring them to its grid and frame first (model.adapt(spectra), or --adapt on the "
            "command line), or train a model on spectra like these."
        )

    def inputs(self, prepared: Spectra) -> NDArray[Any]:
        """Network inputs (N, C, P) float32 of prepared spectra."""
        return network_inputs(prepared, mask_channel=self.mask_channel)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model as a folder, whole or not at all.

        Raises
        ------
        OutputError
            If the folder exists and ``overwrite`` is false, or it cannot be written.
        """
        folder = Path(folder)
        check_model_output(folder, overwrite=overwrite)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                self._write(partial)
                _replace(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        except (OSError, SafetensorError) as error:
            raise OutputError(f"The model cannot be written to {folder}: {error}.") from error
        return folder

    def _write(self, folder: Path) -> None:
        state = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        save_file(state, folder / WEIGHTS_NAME)
        (folder / WEIGHTS_NAME).chmod(0o644)  # colleagues read it too
        about = {**self.describe(), "weights_sha256": _sha256(folder / WEIGHTS_NAME)}
        (folder / JSON_NAME).write_text(_readable_json(about))
        folder.chmod(0o755)

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, JSON-ready: what ``model.json`` holds."""
        specs = {name: {"unit": unit} for name, unit in zip(self.labels, self.units, strict=True)}
        scales = self.scale.to_dict()
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "starnet_version": __version__,
            "name": self.name,
            "labels": {name: {**specs[name], **scales[name]} for name in self.labels},
            "input_grid": self.input_grid.to_dict(),
            "input_frame": self.input_frame,
            "pipeline": self.pipeline.to_dict(),
            "mask_channel": self.mask_channel,
            "network": config_to_dict(self.network.config),
            "provenance": self.provenance,
        }


def load_model(folder: str | Path) -> Model:
    """Read a model that `Model.save` wrote. Runs no code of the model's.

    Raises
    ------
    ModelError
        If the folder is no model, is damaged, or was written by a newer version.
    """
    folder = Path(folder)
    about = _read_json(folder / JSON_NAME)
    weights = folder / WEIGHTS_NAME
    if not weights.is_file() or _sha256(weights) != about.get("weights_sha256"):
        raise ModelError(
            f"{weights} is absent or does not belong to {folder / JSON_NAME} (its checksum "
            "differs). Copy the whole folder again from where it was trained."
        )
    try:
        network = build_network(about["network"])
        network.load_state_dict(load_file(weights))
        network.eval()
        return Model(
            network=network,
            scale=LabelScale.from_dict(about["labels"]),
            pipeline=Pipeline.from_dict(about["pipeline"]),
            input_grid=WavelengthGrid.from_dict(about["input_grid"]),
            input_frame=about["input_frame"],
            mask_channel=about["mask_channel"],
            name=about["name"],
            provenance=about["provenance"],
        )
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, StarNetError) as error:
        raise ModelError(
            f"{folder} is a StarNet model that this version ({__version__}) cannot build: {error}. "
            f"It was written by version {about.get('starnet_version', 'unknown')}."
        ) from error


def check_model_output(folder: str | Path, *, overwrite: bool) -> None:
    """Raise `OutputError` now, before hours of work, if a model cannot be saved there.

    Only a model is ever replaced, and only on purpose.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if not overwrite:
        raise OutputError(f"{folder} exists. Choose another name, or overwrite it on purpose.")
    try:
        _read_json(folder / JSON_NAME)
    except ModelError as error:
        raise OutputError(
            f"{folder} exists and is no StarNet model; it is not replaced. Choose another name."
        ) from error


def network_inputs(prepared: Spectra, *, mask_channel: bool) -> NDArray[Any]:
    """Network inputs (N, C, P) float32: flux, and the mask as 0 and 1 where it is asked for."""
    flux = prepared.flux[:, np.newaxis]
    if not mask_channel:
        return np.array(flux, dtype=np.float32)
    return np.concatenate([flux, prepared.mask[:, np.newaxis].astype(np.float32)], axis=1)


def weights_digest(network: nn.Module) -> str:
    """Twelve letters that tell one set of weights from another: the version of a model."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(
            f"{path.parent} is no StarNet model: a model is a folder with {JSON_NAME} and "
            f"{WEIGHTS_NAME}, as `starnet train` writes it."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ModelError(f"{path} does not describe a StarNet model (no format: {FORMAT}).")
    if about.get("format_version", 0) > FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {about['format_version']}, newer than this StarNet "
            f"({__version__}, format {FORMAT_VERSION}) can read. Upgrade starnet."
        )
    return about


def _readable_json(data: dict[str, Any]) -> str:
    """Indented JSON with each list of numbers on one line; what is not a number is null."""
    text = json.dumps(_plain(data), indent=1, allow_nan=False)
    lists = re.compile(r"\[\s+([^\[\]{}\"]*?)\s+\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
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
