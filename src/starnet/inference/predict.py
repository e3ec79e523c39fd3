"""Spectra to labels with a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from numpy.typing import NDArray

from starnet._version import __version__
from starnet.artifact import Model, count_parameters, weights_digest
from starnet.errors import ConfigError, FrameError, GridError
from starnet.inference.cycle import Cycle, cycle, on_pixels
from starnet.inference.flags import LabelFlag, legend, of_the_star
from starnet.inference.information import disagreement, members_disagree, not_measured
from starnet.inference.novelty import Novelty
from starnet.inference.posterior import LabelPosterior
from starnet.inference.quoted import Answer, quote
from starnet.inference.velocity import to_rest
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator

CARRIED = ("file", "survey", "kind", "ra", "dec", "rv", "rv_err", "message")
"""Columns of a spectrum's metadata that go into the label table."""
NEEDED = ("teff", "logg", "fe_h")
"""Labels without which nothing can be emulated."""
EMPTY = 0.05
"""A chip with a smaller part of good pixels is empty."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of N spectra, with everything that a catalogue needs to know about them.

    Attributes
    ----------
    labels : Labels
        Values (N, L), NaN where prediction failed, and their one-sigma errors where the model
        gives any.
    flags : array (N, L)
        `LabelFlag` bits of each label; 0 is good.
    snr : array (N,)
        Median signal to noise per pixel, NaN where errors are unknown.
    masked_fraction : array (N,)
        Fraction of the pixels that the network sees which are masked.
    meta : Table
        ``id``, ``star`` and what else the reader knew.
    about : dict
        Model name and versions.
    chi2 : array (N,), optional
        Of the emulated spectra against the observed ones; see `inference.cycle`.
    noise : array (N, L), optional
        The part of the errors that repeats of a spectrum would show; NaN where unknown.
    novelty : array (N,), optional
        How unlike the training set the spectra are: above 1 is flagged; see `inference.novelty`.
    information : array (N, L), optional
        Share of the spread of the training labels that the spectrum explains; see
        `inference.information`.
    posterior : LabelPosterior, optional
        Distributions of the labels; their errors are those of ``labels``.
    """

    labels: Labels
    flags: NDArray[Any]
    snr: NDArray[Any]
    masked_fraction: NDArray[Any]
    meta: Table
    about: dict[str, Any] = field(default_factory=dict)
    chi2: NDArray[Any] | None = None
    noise: NDArray[Any] | None = None
    novelty: NDArray[Any] | None = None
    information: NDArray[Any] | None = None
    posterior: LabelPosterior | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        flagged = int(np.count_nonzero(self.flags.any(axis=1)))
        labels = ", ".join(self.labels.names)
        return f"Prediction({len(self)} spectra: {labels}; {flagged} flagged; see to_table())"

    @property
    def model_error(self) -> NDArray[Any]:
        """The part of the errors that repeats of a spectrum would not show, (N, L)."""
        if self.noise is None:
            return np.full(self.labels.values.shape, np.nan)
        return np.sqrt(np.maximum(self.labels.errors**2 - self.noise**2, 0.0))

    def to_table(self) -> QTable:
        """One row for each spectrum: ids, S/N, labels with units, errors and flags.

        ``*_err`` is the whole error; ``*_err_noise`` the part of it that repeats of a spectrum
        show, and ``*_err_model`` the rest, where the model tells them apart. ``flag`` is that of
        the star (`starnet.inference.flags.of_the_star`); ``table.meta`` names the model, the
        versions and the meaning of the bits.
        """
        table = QTable({"id": np.asarray(self.meta["id"], dtype=str)})
        table["star"] = np.asarray(self.meta["star"], dtype=str)
        table["snr"] = np.asarray(self.snr, dtype=np.float32)
        table["masked_fraction"] = np.asarray(self.masked_fraction, dtype=np.float32)
        columns = self.labels.to_table()
        for i, name in enumerate(self.labels.names):
            table[name] = columns[name]
            if f"{name}_err" in columns.colnames:
                table[f"{name}_err"] = columns[f"{name}_err"]
            if self.noise is not None and np.isfinite(self.noise[:, i]).any():
                unit = self.labels.units[i]
                table[f"{name}_err_noise"] = self.noise[:, i] << u.Unit(unit)
                table[f"{name}_err_model"] = self.model_error[:, i] << u.Unit(unit)
            table[f"{name}_flag"] = self.flags[:, i].astype(np.int16)
        table["flag"] = of_the_star(self.flags, self.labels.names).astype(np.int16)
        for name, values in (("chi2", self.chi2), ("novelty", self.novelty)):
            if values is not None:
                table[name] = np.asarray(values, dtype=np.float32)
        for name in CARRIED:
            if name in self.meta.colnames:
                table[name] = np.asarray(self.meta[name])
        table["model"] = np.full(len(table), str(self.about.get("model", "")))
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
    min_snr : float
        Spectra of a lower signal to noise get no labels, and `LabelFlag.LOW_SNR`.
    adapts : bool
        Bring spectra of other grids and frames to the model (`adapt`) instead of refusing them.
    emulator : Emulator, optional
        Of the same kind of spectra: it measures velocities of observed ones.
    compares : bool
        With an emulator: hold spectra emulated from the labels against the observed ones.
    """

    model: Model
    max_masked: float = 0.2
    batch_size: int = 128
    device: str = "cpu"
    min_snr: float = 5.0
    adapts: bool = False
    emulator: Emulator | None = None
    compares: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.max_masked <= 1:
            raise ConfigError(f"max_masked must lie between 0 and 1; received {self.max_masked}.")
        if not self.min_snr >= 0:
            raise ConfigError(f"min_snr must be 0 or more; received {self.min_snr}.")
        self.model.network.to(self.device)

    @property
    def about(self) -> dict[str, Any]:
        """Model and versions, as they are written into every output."""
        version = weights_digest(self.model.network)
        return {"model": self.model.name, "model_version": version, "starnet_version": __version__}

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.model.labels

    def __repr__(self) -> str:
        labels = ", ".join(self.model.labels)
        return f"Predictor({self.model.name}: {labels}; reads {self.model.input_grid.describe()})"

    def accepts(self, spectra: Spectra) -> bool:
        """Whether the model takes spectra of this grid and frame as they are."""
        try:
            self.model.check(spectra.grid, spectra.frame)
        except (GridError, FrameError):
            return False
        return True

    def adapt(self, spectra: Spectra) -> Spectra:
        """Spectra brought to the model's frame and grid; see `Model.adapt`.

        With an emulator the velocity of observed spectra is measured; see `inference.to_rest`.
        """
        if self.model.input_frame == "rest":
            spectra = to_rest(spectra, self.emulator)
        return self.model.adapt(spectra)

    def assign(self, spectra: Spectra) -> tuple[Predictor, Spectra]:
        """Who shall label spectra, itself, and the spectra as it takes them."""
        if self.adapts and not self.accepts(spectra):
            spectra = self.adapt(spectra)
        return self, spectra

    def predict(self, spectra: Spectra) -> Prediction:
        """Labels of spectra.

        Rows without a single usable pixel, or with too little signal, come back as NaN with
        `LabelFlag.FAILED`.

        Parameters
        ----------
        spectra : Spectra
            On the grid and in the frame that the model reads, unless the predictor ``adapts``.

        Raises
        ------
        GridError, FrameError
            If they are on another grid or in another frame; the message says what to do.
        """
        spectra = self.assign(spectra)[1]
        prepared = self.model.prepare(spectra)
        snr = spectra.snr
        low = snr < self.min_snr
        dead = np.all(prepared.mask, axis=1) if len(prepared) else np.zeros(0, bool)
        said = quote(
            self.model, prepared, snr, alive=~(dead | low),
            batch_size=self.batch_size, device=self.device,
        )  # fmt: skip
        labels = Labels(self.model.labels, said.values, said.error)
        flags = self._flags(said, prepared)
        flags[low] |= LabelFlag.LOW_SNR
        seen = self.cycle(labels, spectra) if self.compares else None
        chi2 = None if seen is None else seen.chi2
        if seen is not None:
            flags |= seen.flags[:, None]
        novelty = self._novelty(prepared, labels, chi2, said.features)
        if novelty is not None:
            flags[novelty > 1] |= LabelFlag.UNLIKE_TRAINING
        return Prediction(
            labels=labels,
            flags=flags,
            snr=snr,
            masked_fraction=prepared.masked_fraction,
            meta=prepared.meta,
            about=self.about,
            chi2=chi2,
            noise=said.noise,
            novelty=novelty,
            information=said.information,
            posterior=said.posterior,
        )

    def _novelty(
        self,
        prepared: Spectra,
        labels: Labels,
        chi2: NDArray[Any] | None,
        features: NDArray[Any] | None,
    ) -> NDArray[Any] | None:
        if not self.model.novelty or not self.compares:
            return None
        novelty = Novelty.from_dict(self.model.novelty)
        return novelty.score(
            self.model, prepared, labels, emulator=self.emulator, chi2=chi2, features=features
        )

    def cycle(self, labels: Labels, spectra: Spectra, *, keep: bool = False) -> Cycle | None:
        """Emulated spectra of labels against the observed ones; see `inference.cycle`.

        None without an emulator, or where it cannot say: labels without teff, logg and fe_h,
        spectra that are not at rest or beyond its wavelengths.
        """
        able = set(NEEDED) <= set(labels.names) and spectra.frame == "rest"
        if self.emulator is None or not able or not len(spectra):
            return None
        own = self.model.input_grid
        same = own.matches(spectra.grid)
        try:
            emulator = on_pixels(self.emulator, own if same else spectra.grid)
        except GridError:
            return None
        return cycle(labels, spectra, emulator, keep=keep, ready=True)

    def _flags(self, said: Answer, prepared: Spectra) -> NDArray[Any]:
        values = said.values
        flags = np.zeros(values.shape, dtype=np.int16)
        margin = np.nan_to_num(said.error)  # a value at the edge may lie beyond it by its error
        scale = self.model.scale
        beyond = scale.outside(values - margin) & scale.outside(values + margin)
        flags[beyond | np.isinf(values)] |= LabelFlag.OUTSIDE_BOUNDS
        flags[prepared.masked_fraction > self.max_masked] |= LabelFlag.MANY_MASKED
        flags[~np.isfinite(values)] |= LabelFlag.FAILED
        if said.information is not None:
            flags[not_measured(said.information)] |= LabelFlag.NOT_MEASURED
        if said.members is not None:
            spread = np.std(said.members, axis=0, ddof=1)
            within = np.sqrt(np.maximum(said.error**2 - spread**2, 0.0))
            apart = disagreement(said.members, within)
            flags[members_disagree(apart)] |= LabelFlag.MEMBERS_DISAGREE
        for a, b in prepared.grid.chips:
            empty = np.mean(~prepared.mask[:, a:b], axis=1) < EMPTY
            flags[empty] |= LabelFlag.EMPTY_CHIP
        if "rv_bad" in prepared.meta.colnames:
            bad = np.ma.filled(np.ma.asarray(prepared.meta["rv_bad"]), False).astype(bool)
            flags[bad] |= LabelFlag.BAD_VELOCITY
        return flags

    def signature(self) -> dict[str, Any]:
        """All that its labels depend on, JSON-ready."""
        emulator = None if self.emulator is None else self.emulator.describe()
        settings = {"max_masked": self.max_masked, "min_snr": self.min_snr, "adapts": self.adapts}
        settings |= {"compares": self.compares}
        return {**self.about, **settings, "all": self.model.describe(), "emulator": emulator}

    def _about_errors(self) -> str:
        """Where the errors of the labels come from, in words."""
        model = self.model
        about = model.calibration.get("about", {})
        network = hasattr(model.network, "distribution") or hasattr(model.network, "posterior")
        parts = ["of the network"] if network else []
        parts += ["noise of the pixels and scatter of known stars"] if model.scatter else []
        if model.calibration:
            parts.append(f"calibrated on {about.get('stars', '?')} stars")
        if model.error_floor:
            floor = ", ".join(f"{name} {value:g}" for name, value in model.error_floor.items())
            parts.append(f"floor {floor}")
        return "; ".join(parts) or "none"

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
            "errors": self._about_errors(),
            "provenance": model.provenance,
        }
