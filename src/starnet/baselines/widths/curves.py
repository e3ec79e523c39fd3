"""Curves of growth of chosen lines, learnt from our engine: labels of a star to widths of lines.

What comes with the package are lines of Fe I and Fe II from 4829 to 6789 Angstrom, chosen by
`choose_lines` from the public lists of linemake (Placco et al. 2021, RNAAS 5, 92), each computed
alone by the engine lte for a few hundred stars; a small network joins them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from starnet._whole import whole_file
from starnet.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from starnet.models.emulator import EmulatorNetwork

Array = NDArray[Any]
LABELS = ("teff", "logg", "fe_h", "vmic")
HIDDEN = (64, 64)


@dataclass(frozen=True, eq=False)
class Curves:
    """Widths of n lines, for stars between bounds of four labels.

    Attributes
    ----------
    wavelength, excitation, loggf : array (n,)
        Vacuum Angstrom, eV, and log gf.
    ionised : array (n,) of bool
        Whether a line is of Fe II; the others are of Fe I.
    windows : array (C, 2)
        Stretches of continuum, vacuum Angstrom.
    network : EmulatorNetwork
        Labels (B, 4) to ln(width / wavelength) (B, n).
    """

    wavelength: Array
    excitation: Array
    loggf: Array
    ionised: Array
    windows: Array
    network: EmulatorNetwork

    def __len__(self) -> int:
        return len(self.wavelength)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest labels, (4,), float64."""
        return self.network.low.double(), self.network.high.double()

    def log_width(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """ln(width / wavelength) (B, n) of labels (B, 4), and its slopes (B, 4, n); float64."""
        import torch

        with torch.no_grad():
            value, rise = self.network.coefficients_and_slopes(labels.float())
            basis = self.network.basis
            width = torch.addmm(self.network.mean, value, basis)
            return width.double(), (rise @ basis).double()

    def save(self, path: str | Path) -> None:
        """One file, whole or not at all."""
        state = {f"network.{k}": v.numpy() for k, v in self.network.state_dict().items()}
        own = {k: np.asarray(v) for k, v in vars(self).items() if k != "network"}
        with whole_file(path, "The curves of growth") as partial:
            save_file({k: np.ascontiguousarray(v) for k, v in (state | own).items()}, partial)

    @classmethod
    def read(cls, path: str | Path) -> Curves:
        """What `save` wrote.

        Raises
        ------
        ModelError
            If there is no such file, or it is damaged or something else.
        """
        import torch

        from starnet.models.emulator import EmulatorConfig, EmulatorNetwork

        try:
            data = load_file(path)
            state = {
                k.removeprefix("network."): torch.as_tensor(np.array(v))
                for k, v in data.items()
                if k.startswith("network.")
            }
            own = {k: v for k, v in data.items() if not k.startswith("network.")}
            k, n = state["basis"].shape
            hidden = tuple(len(v) for name, v in state.items() if name.startswith("layers.")
                           and name.endswith("bias"))  # fmt: skip
            network = EmulatorNetwork(EmulatorConfig(len(LABELS), n, k, hidden))
            network.load_state_dict(state)
            return cls(**own, network=network.eval())
        except FileNotFoundError as error:
            raise ModelError(f"There is no file {path} of curves of growth.") from error
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{path} does not hold curves of growth, or is damaged: {error}. Fetch it again."
            ) from error


@functools.cache
def shipped_curves() -> Curves:
    """Those of the package."""
    folder = resources.files("starnet.baselines.widths")
    with resources.as_file(folder / "optical.safetensors") as path:
        return Curves.read(path)
