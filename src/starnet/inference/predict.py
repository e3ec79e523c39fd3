"""Spectra to labels with a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.table import QTable, Table
from numpy.typing import NDArray

from starnet._version import __version__
from starnet.artifact import Model, count_parameters, weights_digest
from starnet.errors import ConfigError
from starnet.inference.flags import LabelFlag, legend
from starnet.models import apply_network
from starnet.spectra import Labels, Spectra

CARRIED = ("file", "survey", "kind", "ra", "dec", "rv", "message")
"""Columns of a spectrum's metadata that go into the label table."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of N spectra, with everything that a catalogue needs to know about them.

    Attributes
    ----------
    labels : Labels
        Values (N, L), NaN where prediction failed.
    flags : array (N, L)
        `LabelFlag` bits of each label; 0 is good.
    snr : array (N,)
        Median signal to noise per pixel as read, NaN where errors are unknown.
    masked_fraction : array (N,)
        Fraction of the pixels that the network sees which are masked.
    meta : Table
        ``id``, ``star`` and what else the reader knew.
    about : dict
        Model name and versions.
    """

    labels: Labels
    flags: NDArray[Any]
    snr: NDArray[Any]
    masked_fraction: NDArray[Any]
    meta: Table
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        flagged = int(np.count_nonzero(self.flags.any(axis=1)))
        labels = ", ".join(self.labels.names)
        return f"Prediction({len(self)} spectra: {labels}; {flagged} flagged; see to_table())"

    def to_table(self) -> QTable:
        """One row for each spectrum: ids, S/N, labels with units and flags.

        ``flag`` holds every bit that any label has; ``table.meta`` names the model, the versions
        and the meaning of the bits.
        """
        table = QTable({"id": np.asarray(self.meta["id"], dtype=str)})
        table["star"] = np.asarray(self.meta["star"], dtype=str)
        table["snr"] = np.asarray(self.snr, dtype=np.float32)
        table["masked_fraction"] = np.asarray(self.masked_fraction, dtype=np.float32)
        columns = self.labels.to_table()
        for i, name in enumerate(self.labels.names):
            table[name] = columns[name]
            table[f"{name}_flag"] = self.flags[:, i].astype(np.int16)
        table["flag"] = np.bitwise_or.reduce(self.flags, axis=1).astype(np.int16)
        for name in CARRIED:
            if name in self.meta.colnames:
                table[name] = np.asarray(self.meta[name])
        table.meta = {**self.about, "flag_bits": legend()}
        return table


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model ready for use.

    Parameters
    ----------
    model : Model
    max_masked : float
        Fraction of masked pixels above which every label is flagged `LabelFlag.MANY_MASKED`.
    batch_size : int
        Spectra at a time in the network; it bounds the memory.
    device : str
        "cpu", "cuda" or another torch device.
    """

    model: Model
    max_masked: float = 0.2
    batch_size: int = 128
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.max_masked <= 1:
            raise ConfigError(f"max_masked must lie between 0 and 1; received {self.max_masked}.")
        self.model.network.to(self.device)

    @property
    def about(self) -> dict[str, Any]:
        """Model and versions, as they are written into every output."""
        version = weights_digest(self.model.network)
        return {"model": self.model.name, "model_version": version, "starnet_version": __version__}

    def __repr__(self) -> str:
        labels = ", ".join(self.model.labels)
        return f"Predictor({self.model.name}: {labels}; reads {self.model.input_grid.describe()})"

    def adapt(self, spectra: Spectra) -> Spectra:
        """Spectra brought to the model's frame and grid; see `Model.adapt`."""
        return self.model.adapt(spectra)

    def predict(self, spectra: Spectra) -> Prediction:
        """Labels of spectra.

        Rows without a single usable pixel come back as NaN with `LabelFlag.FAILED`.

        Parameters
        ----------
        spectra : Spectra
            On the grid and in the frame that the model reads.

        Raises
        ------
        GridError, FrameError
            If they are on another grid or in another frame; the message says what to do.
        """
        prepared = self.model.prepare(spectra)
        failed = np.all(prepared.mask, axis=1) if len(prepared) else np.zeros(0, bool)
        values = np.full((len(prepared), len(self.model.labels)), np.nan)
        if not failed.all():
            good = np.flatnonzero(~failed)
            inputs = self.model.inputs(prepared[good])
            scaled = apply_network(
                self.model.network, inputs, batch_size=self.batch_size, device=self.device
            )
            values[good] = self.model.scale.inverse(scaled)
        masked = prepared.masked_fraction
        labels = Labels(self.model.labels, values)  # values that no star has become NaN
        return Prediction(
            labels=labels,
            flags=self._flags(labels.values, masked),
            snr=spectra.snr,
            masked_fraction=masked,
            meta=prepared.meta,
            about=self.about,
        )

    def _flags(self, values: NDArray[Any], masked: NDArray[Any]) -> NDArray[Any]:
        flags = np.zeros(values.shape, dtype=np.int16)
        flags[self.model.scale.outside(values)] |= LabelFlag.OUTSIDE_BOUNDS
        flags[masked > self.max_masked] |= LabelFlag.MANY_MASKED
        flags[~np.isfinite(values)] |= LabelFlag.FAILED
        return flags

    def describe(self) -> dict[str, Any]:
        """What `starnet info MODEL` shows: labels, bounds, grid, network, training."""
        model = self.model
        bounds = zip(model.labels, model.units, model.scale.low, model.scale.high, strict=True)
        return {
            "name": model.name,
            "labels": [f"{n} [{u}] {a:.5g} to {b:.5g}" for n, u, a, b in bounds],
            "reads": f"{model.input_grid.describe()}, {model.input_frame} frame",
            "preprocessing": " > ".join(type(s).__name__ for s in model.pipeline.steps) or "none",
            "parameters": count_parameters(model.network),
            "provenance": model.provenance,
        }
