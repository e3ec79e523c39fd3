"""Where the engine's atmospheres come from: labels to `Structure`, with derivatives where possible.

`EmulatedStructures` runs the networks of an `AtmosphereEmulator` in torch, so that spectra have
derivatives by teff, logg and metallicity. `GivenStructures` takes atmospheres from a grid, or one
fixed atmosphere; what they give does not change with labels as far as derivatives are concerned.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from starnet.errors import LabelError
from starnet.synthesis.atmospheres import Atmosphere, AtmosphereEmulator, AtmosphereGrid

from .engine import Structure

LABELS = ("teff", "logg", "m_h", "alpha_m")
DEPTHS = 50
"""Of the 80 depths of the emulators, how many are kept."""
LEAST_STEP = 1e-4 * np.log(10)
NEAR = {"teff": 1.0, "logg": 0.02}
"""How far labels may be from those of a single atmosphere."""


class Structures(Protocol):
    """Labels (B, 4) of teff, logg, m_h and alpha_m -> `Structure`."""

    def __call__(self, labels: Tensor, outside: str = "error") -> Structure: ...

    def place(self, labels: np.ndarray, outside: str) -> np.ndarray:
        """The labels used; raises `LabelError` for those outside unless they are clamped."""
        ...

    def covers(self, labels: np.ndarray) -> np.ndarray:
        """Which of the labels (B, 4) there are atmospheres for, (B,)."""
        ...

    def describe(self) -> dict[str, Any]: ...


class EmulatedStructures:
    """From an emulator of atmospheres.

    Parameters
    ----------
    emulator : AtmosphereEmulator
    n_depths : int
        Depths kept, spread evenly over the emulator's.
    device : torch device
    """

    def __init__(
        self,
        emulator: AtmosphereEmulator,
        n_depths: int = DEPTHS,
        device: torch.device | str = "cpu",
    ) -> None:
        def tensor(x: Any) -> Tensor:
            return torch.as_tensor(np.asarray(x, dtype=float), device=device)

        self.emulator = emulator
        self.layers = [
            (tensor(w[:3]), tensor(b[:3]))  # column mass, temperature, pressure
            for w, b in zip(emulator.weights, emulator.biases, strict=True)
        ]
        self.low, self.high = tensor(emulator.low), tensor(emulator.high)
        kept = np.unique(np.linspace(0, emulator.n_depths - 1, n_depths).round().astype(int))
        self.kept = torch.as_tensor(kept, device=device)

    def place(self, labels: np.ndarray, outside: str) -> np.ndarray:
        placed = self.emulator.hull.place(labels, outside, "atmosphere emulator")
        self.emulator.columns(placed, outside="clamp")  # raises where the networks are unsound
        return placed

    def covers(self, labels: np.ndarray) -> np.ndarray:
        inside = self.emulator.hull.contains(labels)
        inside[inside] = self.emulator.sound(labels[inside])
        return inside

    def __call__(self, labels: Tensor, outside: str = "error") -> Structure:
        given = labels.detach().cpu().numpy()
        moved = torch.as_tensor(self.place(given, outside) - given, device=labels.device)
        hidden = ((labels + moved - self.low) / (self.high - self.low) - 0.5)[None]  # (1, B, 4)
        for k, (weight, bias) in enumerate(self.layers):
            hidden = hidden @ weight.transpose(1, 2) + bias[:, None]
            if k < len(self.layers) - 1:
                hidden = torch.nn.functional.leaky_relu(hidden, 0.01)
        depth, temperature, pressure = np.log(10.0) * hidden[..., self.kept]
        ramp = LEAST_STEP * torch.arange(depth.shape[-1], device=depth.device)
        rising = torch.cummax(depth.detach() - ramp, dim=-1).values + ramp
        depth = depth + (rising - depth.detach())
        return Structure(torch.exp(temperature), torch.exp(pressure), torch.exp(depth))

    def describe(self) -> dict[str, Any]:
        return {"atmospheres": self.emulator.source, "depths": int(self.kept.numel())}


class GivenStructures:
    """From a grid of models, or one model whatever the abundances.

    Parameters
    ----------
    source : AtmosphereGrid or Atmosphere
    scale : "rhox" or "tau_5000"
        The depth scale to integrate over.
    device : torch device
    """

    def __init__(
        self,
        source: AtmosphereGrid | Atmosphere,
        scale: str = "rhox",
        device: torch.device | str = "cpu",
    ) -> None:
        self.source, self.scale, self.device = source, scale, device

    def place(self, labels: np.ndarray, outside: str) -> np.ndarray:
        if isinstance(self.source, Atmosphere):
            own = [self.source.teff, self.source.logg]
            for row in labels:
                far = [abs(row[i] - own[i]) > NEAR[LABELS[i]] for i in range(2)]
                if any(far) and outside == "error":
                    raise LabelError(
                        f"The one atmosphere given has teff {own[0]:g} and logg {own[1]:g}; the "
                        f"star has {row[0]:g} and {row[1]:g}. Give a grid, or outside='clamp'."
                    )
            return np.concatenate([np.tile(own, (len(labels), 1)), labels[:, 2:]], axis=1)
        models = [self.source.at(*row, outside=outside) for row in labels]
        return np.array([[getattr(m, name) for name in LABELS] for m in models])

    def covers(self, labels: np.ndarray) -> np.ndarray:
        if isinstance(self.source, Atmosphere):
            own = np.array([self.source.teff, self.source.logg])
            return np.all(np.abs(labels[:, :2] - own) <= list(NEAR.values()), axis=1)
        return np.asarray(self.source.hull.contains(labels))

    def __call__(self, labels: Tensor, outside: str = "error") -> Structure:
        rows = labels.detach().cpu().numpy()
        if isinstance(self.source, Atmosphere):
            self.place(rows, outside)
            models = [self.source] * len(rows)
        else:
            models = [self.source.at(*row, outside=outside) for row in rows]

        def stack(name: str) -> Tensor:
            values = [getattr(m, name) for m in models]
            if any(v is None for v in values):
                raise LabelError(f"These atmospheres have no {name}; use the other depth scale.")
            return torch.as_tensor(np.stack(values), dtype=torch.float64, device=self.device)

        return Structure(stack("temperature"), stack("gas_pressure"), stack(self.scale), self.scale)

    def describe(self) -> dict[str, Any]:
        return {"atmospheres": str(getattr(self.source, "source", "")), "scale": self.scale}
