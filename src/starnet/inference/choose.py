"""The models that come with the package, and which of them reads a spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from starnet._shipped import shipped_folders
from starnet._version import __version__
from starnet.artifact import load_model
from starnet.errors import GridError, ModelError
from starnet.inference.predict import NEEDED, Prediction, Predictor
from starnet.spectra import Spectra, WavelengthGrid
from starnet.synthesis.emulator import Emulator

COVERED = 0.7
"""Part of a model's wavelengths that spectra must have for it to be chosen."""
SHARPER, BROADER = 0.6, 1.6
"""Factors on a model's line width within which that of spectra must lie, where both are known."""


def shipped_models() -> dict[str, Path]:
    """Folders of the models that come with the package, by name."""
    return shipped_folders("models")


def load_predictor(
    which: str | Path, *, cycle: bool = True, adapts: bool | None = None, **settings: Any
) -> Predictor:
    """A model of the package by name, or one from a folder, with the emulator of its card.

    Parameters
    ----------
    which : str or path
        A name of `shipped_models`, or a folder.
    cycle : bool
        Hold spectra emulated from the labels against the observed ones, if the model's card names
        an emulator.
    adapts : bool, optional
        Bring spectra to the model's grid and frame; by default models of the package do.
    **settings
        Fields of `Predictor`.

    Raises
    ------
    ModelError
        If there is none, or it is damaged or needs a newer version.
    """
    shipped = shipped_models()
    own = str(which) in shipped
    folder = shipped.get(str(which), Path(which))
    if not folder.exists():
        raise ModelError(
            f"There is no model {str(which)!r}: no folder of that name, and StarNet comes with "
            f"{', '.join(shipped) or 'none'}."
        )
    model = load_model(folder)
    name = (model.provenance.get("card") or {}).get("emulator")
    emulator = Emulator.load(name) if name else None
    settings["adapts"] = own if adapts is None else adapts
    return Predictor(model, emulator=emulator, compares=cycle, **settings)


def load_all(**settings: Any) -> Chooser:
    """Every model of the package, the right one for each spectrum.

    Raises
    ------
    ModelError
        If the package has none.
    """
    names = shipped_models()
    if not names:
        raise ModelError(
            "This installation of StarNet has no models. Name one of your own: --model FOLDER, or "
            "starnet.load(folder)."
        )
    return Chooser({name: load_predictor(name, **settings) for name in names})


@dataclass(frozen=True, eq=False)
class Chooser:
    """Several models, of which each spectrum gets the one that reads its wavelengths.

    Models on just the spectrum's pixels come first. Of the others those are looked at that say
    by their emulator that they are for every spectrograph; the one of which the spectrum covers
    most is taken, if that is enough and the line widths are alike.
    """

    predictors: Mapping[str, Predictor]

    @property
    def about(self) -> dict[str, Any]:
        """Models and versions, as they are written into every output."""
        every = [predictor.about for predictor in self.predictors.values()]
        return {
            "model": " ".join(self.predictors),
            "model_version": " ".join(str(about["model_version"]) for about in every),
            "starnet_version": __version__,
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that every row has, also that of a file which no model reads."""
        shared = [set(predictor.labels) for predictor in self.predictors.values()]
        names = set.intersection(*shared)
        first = next(iter(self.predictors.values())).labels
        return tuple(name for name in first if name in names) or NEEDED

    def __repr__(self) -> str:
        return f"Chooser({', '.join(self.predictors)})"

    def choose(self, spectra: Spectra) -> Predictor:
        """The predictor for spectra of this grid.

        Raises
        ------
        GridError
            If none reads them; the message names the models and says how to train another.
        """
        every = list(self.predictors.values())
        for predictor in every:
            if _same_pixels(predictor.model.input_grid, spectra.grid):
                return predictor
        general = [p for p in every if _has_emulator(p)]
        fits = [p for p in general if alike(p.model.input_grid, spectra.grid)]
        parts = [coverage(p.model.input_grid, spectra.grid) for p in fits]
        if not parts or max(parts) < COVERED:
            raise GridError(self._refusal(spectra))
        return fits[int(np.argmax(parts))]

    def assign(self, spectra: Spectra) -> tuple[Predictor, Spectra]:
        """Who shall label spectra, and the spectra as it takes them."""
        return self.choose(spectra).assign(spectra)

    def predict(self, spectra: Spectra) -> Prediction:
        """Labels of spectra by the model that reads them; see `Predictor.predict`."""
        return self.choose(spectra).predict(spectra)

    def signature(self) -> dict[str, Any]:
        """All that labels depend on, JSON-ready."""
        return {name: predictor.signature() for name, predictor in self.predictors.items()}

    def _refusal(self, spectra: Spectra) -> str:
        models = "; ".join(
            f"{name} reads {p.model.input_grid.describe()}{_power(p.model.input_grid)}"
            for name, p in self.predictors.items()
        )
        return (
            f"No model of the package reads spectra on {spectra.grid.describe()}"
            f"{_power(spectra.grid)}: {models}. Train one for these: synthetic spectra with "
            "`starnet synth`, or labelled ones with `starnet dataset build`, then `starnet train`; "
            "and give it with --model."
        )


def coverage(wanted: WavelengthGrid, grid: WavelengthGrid) -> float:
    """Part of the pixels in the chips of one grid that lie within another."""
    wave = wanted.to_vacuum().wavelength
    there = grid.to_vacuum().wavelength
    inside = np.zeros(wave.size, dtype=bool)
    for a, b in grid.chips:
        inside |= (wave >= there[a]) & (wave <= there[b - 1])
    chips = np.concatenate([np.arange(a, b) for a, b in wanted.chips])
    return float(np.mean(inside[chips]))


def alike(wanted: WavelengthGrid, grid: WavelengthGrid) -> bool:
    """Whether line widths are alike where grids overlap, as far as both are known."""
    a, b = _width(wanted, grid), _width(grid, wanted)
    return a is None or b is None or SHARPER < b / a < BROADER


def _width(grid: WavelengthGrid, other: WavelengthGrid) -> float | None:
    """Median FWHM over wavelength within the range of another grid."""
    if grid.lsf is None:
        return None
    wave = grid.wavelength
    inside = (wave >= other.wavelength[0]) & (wave <= other.wavelength[-1])
    relative = grid.lsf.fwhm_at(wave) / wave
    return float(np.median(relative[inside])) if inside.any() else None


def _same_pixels(wanted: WavelengthGrid, grid: WavelengthGrid) -> bool:
    return wanted.matches(grid) and alike(wanted, grid)


def _has_emulator(predictor: Predictor) -> bool:
    return bool((predictor.model.provenance.get("card") or {}).get("emulator"))


def _power(grid: WavelengthGrid) -> str:
    width = _width(grid, grid)
    return "" if width is None else f" at R = {1 / width:.0f}"
