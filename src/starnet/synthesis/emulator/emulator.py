"""`Emulator`: a trained network behind the contract of every synthesizer, with derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet._version import __version__
from starnet.errors import ConfigError, GridError, LabelError, ModelError, StarNetError
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.models.stored import read_about, read_weights, weights_digest, write_folder
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.composition import ELEMENTS, Composition, vmic_relation
from starnet.synthesis.contract import Array, Outside, Synthesizer
from starnet.synthesis.emulator.decoder import decoder_matrix
from starnet.synthesis.emulator.hull import LabelHull

FORMAT = "starnet-emulator"
FORMAT_VERSION = 1
SOLAR = "grevesse2007"


@dataclass(frozen=True, eq=False)
class Emulator(Synthesizer):
    """Labels -> spectrum by a network, on the pixels of its training spectra or on others.

    Parameters
    ----------
    network : EmulatorNetwork
    hull : LabelHull
        Names of its L labels, in order, and where it holds.
    grid : WavelengthGrid
        Pixels of its spectra, in vacuum and at rest, with their line spread.
    title : str
    card : mapping
        Training set, accuracy and known failures: what `starnet info` shows.
    provenance : mapping
        How it was trained.
    """

    name: ClassVar[str] = "emulator"
    network: EmulatorNetwork
    hull: LabelHull
    grid: WavelengthGrid
    title: str = "emulator"
    card: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = self.network.config
        if (config.n_labels, config.n_pixels) != (len(self.labels), self.grid.n_pixels):
            raise ModelError(
                f"The network takes {config.n_labels} labels to {config.n_pixels} pixels; the "
                f"emulator has {len(self.labels)} and {self.grid.n_pixels}."
            )

    # ---- as tensors

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the L labels, in order."""
        return self.hull.names

    def flux(self, labels: Tensor) -> Tensor:
        """Normalised flux (B, P) of labels (B, L), with derivatives by them."""
        return self.network(labels)

    def flux_and_slopes(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised flux (B, P) and its derivatives by each label (B, L, P)."""
        value, rise = self.network.coefficients_and_slopes(labels)
        basis = self.network.basis
        return torch.addmm(self.network.mean, value, basis), rise @ basis

    def on(self, grid: WavelengthGrid, *, width: float = 1.0, shift: float = 0.0) -> Emulator:
        """The same emulator on other pixels, through the line spread that they have.

        What changes is the components, once: it is as fast as before, and exact.

        Parameters
        ----------
        grid : WavelengthGrid
            In air or vacuum; with a line spread at least as broad as the emulator's, or none to
            keep that. Pixels beyond the emulator's ends have flux 1 and no derivatives; see
            `reaches`.
        width : float
            Factor on the line spread.
        shift : float
            Velocity of the star, km/s.

        Raises
        ------
        GridError
            If no pixel overlaps, or the line spread is narrower than the emulator's.
        """
        if not self.reaches(grid).any():
            raise GridError(
                f"The emulator {self.title!r} has {self.grid.describe()}, and no pixel of "
                f"{grid.describe()}. Take another emulator, or train one (starnet synth, then "
                "starnet train --recipe emulator)."
            )
        matrix = decoder_matrix(self.grid, grid, width, shift)
        old = self.network
        network = EmulatorNetwork(
            EmulatorConfig(**{**old.config.to_dict(), "n_pixels": grid.n_pixels})
        )
        state = dict(old.state_dict())
        lack = 1.0 - np.asarray(matrix.sum(axis=1)).ravel()  # 1 where not reached
        state["mean"] = torch.as_tensor(matrix @ old.mean.double().numpy() + lack).float()
        basis = (matrix @ old.basis.double().numpy().T).T
        state["basis"] = torch.as_tensor(np.ascontiguousarray(basis)).float()
        network.load_state_dict(state)
        network.eval()
        return Emulator(network, self.hull, grid, self.title, self.card, self.provenance)

    def reaches(self, grid: WavelengthGrid) -> NDArray[np.bool_]:
        """Which pixels of a grid lie within the emulator's wavelengths, (Q,)."""
        own = self.grid.to_vacuum().edges
        wave = grid.to_vacuum().wavelength
        return (wave > own[0]) & (wave < own[-1])

    # ---- the contract

    def fine_grid(self, grid: WavelengthGrid) -> WavelengthGrid:
        outside = ~self.reaches(grid)
        if outside.any():
            wave = grid.wavelength[outside]
            raise GridError(
                f"The emulator {self.title!r} reaches {self.grid.describe()}; the grid has "
                f"{wave.size} pixels outside, from {wave[0]:.1f} to {wave[-1]:.1f} A."
            )
        return self.grid

    def emergent(
        self, labels: Labels, grid: WavelengthGrid, *, outside: Outside
    ) -> tuple[Array, Array]:
        values = self.own(labels)
        if outside == "clamp":
            values = self.hull.clip(values)
        self._check(values)
        with torch.no_grad():
            flux = self.flux(torch.as_tensor(values, dtype=torch.float32)).numpy().astype(float)
        return flux, np.full_like(flux, np.nan)

    def on_pixels(self, flux: Array, fine: WavelengthGrid, grid: WavelengthGrid) -> Array:
        if fine.matches(grid, tolerance=1e-3) and _as_broad(fine, grid):
            return flux
        return np.asarray((decoder_matrix(fine, grid) @ flux.T).T)

    def accepts(self, names: tuple[str, ...]) -> None:
        Composition.of(names)
        own = {name.removesuffix("_fe") for name in self.labels}
        for name in names:
            symbol, _, per = name.rpartition("_")
            element = per in ("h", "fe") and symbol.capitalize() in ELEMENTS and symbol != "fe"
            if element and symbol not in own:
                raise LabelError(
                    f"The emulator {self.title!r} has no label for {name}; it has "
                    f"{', '.join(self.labels)}. The engine lte takes every element."
                )

    def clamped(self, labels: Labels) -> Labels:
        own = self.own(labels)
        moved = self.hull.clip(own)
        values = np.array(labels.values)
        for i, name in enumerate(self.labels):
            if name in labels.names:
                values[:, labels.index(name)] = moved[:, i]
        return Labels(labels.names, values, specs=labels.specs)

    def covers(self, labels: Labels) -> NDArray[np.bool_]:
        """Which stars lie where the emulator holds, (N,)."""
        return self.hull.contains(self.own(labels))

    def own(self, labels: Labels) -> Array:
        """The emulator's labels (N, L) of labels as every engine takes them.

        ``vmic`` that is not given follows `vmic_relation` within the bounds; elements that are not
        given are in solar proportions, or raised by ``alpha_m``.
        """
        self.accepts(labels.names)
        maps = Composition.of(labels.names, SOLAR)
        stellar = labels.values @ maps.atmosphere.T
        metal = stellar[:, 2]
        per_hydrogen = labels.values @ maps.abundance.T  # [X/H]
        out = np.empty((len(labels), len(self.labels)))
        for i, name in enumerate(self.labels):
            if name in ("teff", "logg"):
                out[:, i] = stellar[:, ("teff", "logg").index(name)]
            elif name == "fe_h":
                out[:, i] = metal
            elif name == "vmic":
                given = name in labels.names
                usual = np.clip(vmic_relation(stellar[:, 1]), self.hull.low[i], self.hull.high[i])
                out[:, i] = labels.column(name) if given else usual
            else:
                element = ELEMENTS.index(name.removesuffix("_fe").capitalize())
                out[:, i] = per_hydrogen[:, element] - metal
        return out

    def _check(self, values: Array) -> None:
        bad = np.flatnonzero(~self.hull.contains(values))
        if not bad.size:
            return
        row = values[bad[0]]
        which = [
            f"{n} = {v:g} (from {a:g} to {b:g})"
            for n, v, a, b in zip(self.labels, row, self.hull.low, self.hull.high, strict=True)
            if not a <= v <= b
        ] or [
            ", ".join(f"{n} = {v:g}" for n, v in zip(self.labels[:7], row[:7], strict=True))
            + ", which together no training star surrounds"
        ]
        raise LabelError(
            f"{bad.size} of {len(values)} stars lie outside of what the emulator {self.title!r} "
            f"learnt; the first, star {bad[0]}, has {'; '.join(which)}. Leave them out, use "
            'outside="clamp", or another engine.'
        )

    def describe(self) -> dict[str, Any]:
        return {
            "engine": self.name,
            "emulator": self.title,
            "version": weights_digest(self.network),
            "starnet_version": __version__,
            "solar": SOLAR,
        }

    # ---- on disk

    def save(self, folder: str | Path, *, overwrite: bool = False, half: bool = False) -> Path:
        """Write the emulator as a folder, whole or not at all; see `write_folder`."""
        about = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "starnet_version": __version__,
            "name": self.title,
            "network": self.network.config.to_dict(),
            "labels": self.hull.to_dict(),
            "grid": self.grid.to_dict(),
            "card": self.card,
            "provenance": self.provenance,
        }
        state = self.network.state_dict()
        return write_folder(folder, about, state, overwrite=overwrite, half=half)

    @classmethod
    def load(cls, which: str | Path) -> Emulator:
        """An emulator of the package by name (`shipped_emulators`), or one from a folder.

        Raises
        ------
        ModelError
            If it is no emulator, is damaged, or was written by a newer version.
        """
        shipped = shipped_emulators()
        folder = shipped.get(str(which), Path(which))
        if not folder.exists():
            raise ModelError(
                f"There is no emulator {str(which)!r}: no folder of that name, and StarNet comes "
                f"with {', '.join(shipped) or 'none'}."
            )
        about = read_about(folder, FORMAT, FORMAT_VERSION)
        state = read_weights(folder, about)
        try:
            network = EmulatorNetwork(EmulatorConfig(**about["network"]))
            network.load_state_dict(state)
            network.eval()
            return cls(
                network,
                LabelHull.from_dict(about["labels"]),
                WavelengthGrid.from_dict(about["grid"]),
                about["name"],
                about["card"],
                about["provenance"],
            )
        except (KeyError, TypeError, ValueError, RuntimeError, StarNetError) as error:
            raise ModelError(
                f"{folder} is an emulator that this version ({__version__}) cannot build: {error}."
            ) from error


def _as_broad(one: WavelengthGrid, other: WavelengthGrid) -> bool:
    """Whether spectra on one grid have the line spread of the other's already."""
    if one.lsf is None or other.lsf is None:
        return other.lsf is None
    widths = one.lsf.fwhm_at(one.wavelength), other.lsf.fwhm_at(other.wavelength)
    return bool(np.allclose(*widths, rtol=1e-3))


def shipped_emulators() -> dict[str, Path]:
    """Folders of the emulators that come with the package, by name."""
    root = Path(str(resources.files("starnet"))) / "shipped" / "emulators"
    return {path.name: path for path in sorted(root.glob("*")) if (path / "model.json").is_file()}


def build(model: str | Path = "apogee") -> Emulator:
    """The engine ``emulator``: one of the package by name, or a folder."""
    if not isinstance(model, str | Path):
        raise ConfigError(f"model must name an emulator or a folder; received {model!r}.")
    return Emulator.load(model)
