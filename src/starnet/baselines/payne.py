"""The Payne: a network for labels to flux, learnt from stars, and labels by a fit of it.

Ting, Conroy, Rix and Cargile 2019 (ApJ 879, 69) train it on synthetic spectra and fit each
observed one by least squares. Here it learns from observed stars, so the noise of each pixel is
known to it and masked pixels tell it nothing; what labels do not explain, measured on stars that
were held out, counts as noise in the fit. Or it takes a synthetic emulator as it is: `emulator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.components import Components
from starnet.baselines.contract import Fitted, Method, Report, register, usable
from starnet.errors import ConfigError
from starnet.spectra import Labels, Spectra, WavelengthGrid

if TYPE_CHECKING:
    from starnet.baselines._members import Members

Array = NDArray[Any]
REACH = 1.2
"""How far fits may go, in half ranges of a label from its middle."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedPayne(Fitted):
    """Networks, components and scatter.

    Attributes
    ----------
    low, high : array (L,)
        Range of the training labels.
    components : Components
    members : Members
    begin : array (S, L)
        Scaled labels that fits begin at.
    extra : array (L,)
        Errors of scaled labels beyond those of the fit, from stars that were held out.
    """

    method: Payne
    low: Array
    high: Array
    components: Components
    members: Members
    begin: Array
    extra: Array

    def predict(self, spectra: Spectra) -> Labels:
        from starnet.baselines._forms import Forms
        from starnet.baselines._least import Labelled, fit_labels

        self.check(spectra)
        values = np.full((len(spectra), len(self.names)), np.nan)
        errors = values.copy()
        model = Labelled.of(self.members, self.begin, REACH)
        half = 0.5 * (self.high - self.low)
        known = np.any(spectra.ivar > 0, axis=1)
        for rows, seen in self.components.see(spectra):
            x, sigma = fit_labels(model, Forms.of_seen(seen), known[rows], self.method.starts)
            values[rows] = 0.5 * (self.high + self.low) + x * half
            errors[rows] = np.hypot(sigma, self.extra) * half
        return Labels(self.names, values, errors)

    def flux(self, labels: Labels) -> Array:
        """Flux (N, P) of labels, with the names of the fit."""
        import torch

        x = torch.as_tensor(self.scaled(labels.select(self.names).values)).float()
        with torch.no_grad():
            value = self.members(x).mean(0).numpy()
        return self.components.spectrum(value)

    def scaled(self, values: Array) -> Array:
        """Labels from -1 to 1 over the training stars."""
        return 2 * (values - self.low) / (self.high - self.low) - 1

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        arrays = {"low": self.low, "high": self.high, "begin": self.begin}
        arrays["extra"] = self.extra
        arrays |= self.components.arrays()
        state = self.members.state_dict()
        arrays |= {f"members.{k}": v.numpy() for k, v in state.items()}
        hidden = [int(w.shape[2]) for w in self.members.weight]
        return {"hidden": hidden}, arrays

    @classmethod
    def from_state(
        cls,
        method: Payne,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Array],
    ) -> Fitted:
        if method.emulator:
            from starnet.baselines._synthetic import FittedEmulator

            return FittedEmulator.from_state(method, names, grid, settings, arrays)
        import torch

        from starnet.baselines._members import Members

        parts = Components.from_arrays(arrays, grid.n_pixels)
        state = {
            k.removeprefix("members."): torch.as_tensor(np.array(v))
            for k, v in arrays.items()
            if k.startswith("members.")
        }
        sizes = len(state["head"]), len(names), tuple(settings["hidden"]), parts.n
        try:
            members = Members(*sizes)
            members.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        return cls(
            method=method, names=names, grid=grid, low=arrays["low"], high=arrays["high"],
            extra=arrays["extra"], components=parts, members=members.eval(), begin=arrays["begin"],
        )  # fmt: skip


@register(FittedPayne)
@dataclass(frozen=True, kw_only=True)
class Payne(Method):
    """The Payne, learnt from stars or from synthetic spectra.

    Attributes
    ----------
    emulator : str
        Name or folder of a synthetic emulator, which is then the network: nothing is learnt from
        the training stars but a constant and a scale of errors for each label. Empty: learn.
    components : int
        0: as many as the stars allow.
    hidden : tuple of int
        Nodes of the layers. Empty: as the stars allow.
    folds : int
        Networks, each of which leaves one fold of the stars out.
    rounds : int
        Times that the networks learn; the scatter of one weights the pixels in the next.
    common : int
        Directions that residuals may have in common, at most (`Components.common`). They are used
        if labels of stars that were held out are better with them.
    steps, batch_size, lr, weight_decay
        See `Course`.
    starts : int
        Fits of each spectrum, from different labels.
    correct : bool
        With an emulator: whether the training stars correct it.
    """

    kind: ClassVar[str] = "payne"
    fewest: ClassVar[int] = 20
    emulator: str = ""
    components: int = 0
    hidden: tuple[int, ...] = ()
    folds: int = 5
    rounds: int = 2
    common: int = 20
    steps: int = 600
    batch_size: int = 256
    lr: float = 5e-3
    weight_decay: float = 1e-2
    starts: int = 2
    correct: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        counts = (self.rounds, self.steps, self.batch_size, self.starts, *self.hidden)
        if min(counts) < 1 or self.folds < 2 or self.components < 0:
            raise ConfigError(
                "rounds, steps, batch_size, starts and hidden must be 1 or more, folds 2 or more; "
                f"received {counts} and {self.folds}."
            )

    def fit(
        self, spectra: Spectra, labels: Labels, *, seed: int = 0, report: Report | None = None
    ) -> Fitted:
        rows, labels = usable(spectra, labels, self)
        used = spectra if len(rows) == len(spectra) else spectra[rows]
        if self.emulator:
            from starnet.baselines._synthetic import fit_with_emulator as learnt
        else:
            from starnet.baselines._stars import fit_with_stars as learnt
        return learnt(self, used, labels, seed=seed, report=report)
