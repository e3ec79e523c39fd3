"""The model file: the one place where training and inference meet.

A model is a folder with two files. ``weights.safetensors`` holds the numbers of the network.
``model.json`` holds, readable, all else that prediction needs: the network's configuration, the
grid and frame of the spectra it reads, the preprocessing, the labels with units, scales and
bounds, and where it all came from. Nothing in it is code, and loading runs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from starnet._version import __version__
from starnet.errors import FrameError, GridError, ModelError, StarNetError
from starnet.models import build_network, config_to_dict
from starnet.models.stored import (
    JSON_NAME,
    WEIGHTS_NAME,
    check_output,
    read_about,
    read_weights,
    weights_digest,
    write_folder,
)
from starnet.preprocess import Pipeline, Resample, ToRest
from starnet.spectra import LabelScale, Spectra, WavelengthGrid, label_spec
from starnet.spectra.batch import Frame

FORMAT = "starnet-model"
FORMAT_VERSION = 3


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
    channels : tuple of str
        What the network is fed, in order: of ``flux``, ``mask`` (0 and 1) and ``ivar`` (0 where
        masked; where no error is known, that of a signal to noise of 100).
    name : str
        What the model is called in tables and messages.
    error_floor : mapping of label to float
        Errors of labels that the network does not know of, measured on stars with known labels;
        they are added to its own in squares.
    calibration : mapping
        Of the errors, as `starnet.inference.Calibration.to_dict` gives it.
    scatter : mapping
        Of labels about the truth, for networks that give no errors themselves; as
        `starnet.inference.IntrinsicScatter.to_dict` gives it.
    novelty : mapping
        What spectra of the training set look like, as `starnet.inference.Novelty.to_dict` gives it.
    provenance : dict
        Data set, split, settings, versions and history of the training.
    """

    network: nn.Module
    scale: LabelScale
    pipeline: Pipeline
    input_grid: WavelengthGrid
    input_frame: Frame
    channels: tuple[str, ...] = ("flux",)
    name: str = "starnet"
    error_floor: Mapping[str, float] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    scatter: Mapping[str, Any] = field(default_factory=dict)
    novelty: Mapping[str, Any] = field(default_factory=dict)
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
        resampled, with errors that are right for lines and bands (`Resample`, ``independent``);
        pixels that they do not cover are masked. Line spreads are left as they are.

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
        return Resample(self.input_grid, independent=True)(spectra)

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
        return network_inputs(prepared, self.channels)

    def save(self, folder: str | Path, *, overwrite: bool = False, half: bool = False) -> Path:
        """Write the model as a folder, whole or not at all.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Replace a model of that name.
        half : bool
            Keep the weights in half precision.

        Raises
        ------
        OutputError
            If the folder exists and ``overwrite`` is false, or it cannot be written.
        """
        state = self.network.state_dict()
        return write_folder(folder, self.describe(), state, overwrite=overwrite, half=half)

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
            "channels": list(self.channels),
            "error_floor": dict(self.error_floor),
            "calibration": dict(self.calibration),
            "scatter": dict(self.scatter),
            "novelty": dict(self.novelty),
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
    about = read_about(folder, FORMAT, FORMAT_VERSION)
    state = read_weights(folder, about)
    try:
        network = build_network(about["network"])
        network.load_state_dict(state)
        network.eval()
        return Model(
            network=network,
            scale=LabelScale.from_dict(about["labels"]),
            pipeline=Pipeline.from_dict(about["pipeline"]),
            input_grid=WavelengthGrid.from_dict(about["input_grid"]),
            input_frame=about["input_frame"],
            channels=tuple(about["channels"]),
            name=about["name"],
            error_floor=about.get("error_floor", {}),
            calibration=about.get("calibration", {}),
            scatter=about.get("scatter", {}),
            novelty=about.get("novelty", {}),
            provenance=about["provenance"],
        )
    except (KeyError, TypeError, ValueError, RuntimeError, StarNetError) as error:
        raise ModelError(
            f"{folder} is a StarNet model that this version ({__version__}) cannot build: {error}. "
            f"It was written by version {about.get('starnet_version', 'unknown')}."
        ) from error


def check_model_output(folder: str | Path, *, overwrite: bool) -> None:
    """Raise `OutputError` now, before hours of work, if a model cannot be saved there.

    Only a model is ever replaced, and only on purpose.
    """
    check_output(folder, FORMAT, overwrite=overwrite)


def network_inputs(prepared: Spectra, channels: Sequence[str] = ("flux",)) -> NDArray[Any]:
    """Network inputs (N, C, P) float32 of the channels named; see `Model`.

    Raises
    ------
    ModelError
        If a channel is unknown.
    """
    if strange := [name for name in channels if name not in _CHANNELS]:
        raise ModelError(
            f"A network is fed {', '.join(_CHANNELS)}; there is no channel {strange[0]!r}."
        )
    return np.stack([_CHANNELS[name](prepared) for name in channels], axis=1, dtype=np.float32)


def _ivar(prepared: Spectra) -> NDArray[Any]:
    good = ~prepared.mask
    ivar = np.where(good, prepared.ivar, 0.0)
    unknown = ~np.any(ivar > 0, axis=1)
    if unknown.any():
        level = np.maximum(np.abs(prepared.flux[unknown]), 1e-6)
        middle = np.median(level, axis=1, keepdims=True)
        ivar[unknown] = np.where(good[unknown], (UNKNOWN_SNR / middle) ** 2, 0.0)
    return ivar


UNKNOWN_SNR = 100.0
_CHANNELS: dict[str, Callable[[Spectra], NDArray[Any]]] = {
    "flux": lambda prepared: prepared.flux,
    "mask": lambda prepared: prepared.mask,
    "ivar": _ivar,
}


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


__all__ = [
    "FORMAT",
    "JSON_NAME",
    "WEIGHTS_NAME",
    "Model",
    "check_model_output",
    "count_parameters",
    "load_model",
    "network_inputs",
    "weights_digest",
]
