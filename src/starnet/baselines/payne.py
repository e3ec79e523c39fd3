"""The Payne: a network for labels to flux, learnt from stars, and labels by a fit of it.

Ting, Conroy, Rix and Cargile 2019 (ApJ 879, 69) train it on synthetic spectra and fit each
observed one by least squares. Here it learns from observed stars, so the noise of each pixel is
known to it and masked pixels tell it nothing; what labels do not explain, measured on stars that
were held out, counts as noise in the fit. Or it takes a synthetic emulator as it is: `emulator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from starnet.baselines._components import (
    Components,
    Pixels,
    extra,
    find_components,
    first_scatter,
    unexplained,
)
from starnet.baselines._least import Labelled, fit_labels
from starnet.baselines._members import Course, Members, learn, of_own_fold
from starnet.baselines.contract import Fitted, Method, Report, register, usable
from starnet.dataset import k_folds
from starnet.errors import ConfigError
from starnet.spectra import Labels, Spectra, WavelengthGrid

Array = NDArray[Any]
STARTS = 400
"""Labels of training stars that a fit may begin at."""
BLOCK = 256
TRIED = 1000
"""Stars that errors are measured on, at most."""
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
        self.check(spectra)
        values = np.full((len(spectra), len(self.names)), np.nan)
        errors = values.copy()
        model = Labelled.of(self.members, self.begin, REACH)
        half = 0.5 * (self.high - self.low)
        for start in range(0, len(spectra), BLOCK):
            rows = slice(start, start + BLOCK)
            pixels = Pixels.of(spectra[rows])
            forms = self.components.forms(pixels)
            x, sigma = fit_labels(model, forms, pixels.known, self.method.starts)
            values[rows] = 0.5 * (self.high + self.low) + x * half
            errors[rows] = np.hypot(sigma, self.extra) * half
        return Labels(self.names, values, errors)

    def flux(self, labels: Labels) -> Array:
        """Flux (N, P) of labels, with the names of the fit."""
        x = torch.as_tensor(self.scaled(labels.select(self.names).values)).float()
        with torch.no_grad():
            value = self.members(x).mean(0).numpy()
        return self.components.mean + value @ self.components.basis

    def scaled(self, values: Array) -> Array:
        """Labels from -1 to 1 over the training stars."""
        return 2 * (values - self.low) / (self.high - self.low) - 1

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        arrays = {"low": self.low, "high": self.high, "begin": self.begin}
        arrays["extra"] = self.extra
        arrays |= {f"components.{k}": v for k, v in vars(self.components).items()}
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
        parts = Components(
            *(arrays[f"components.{k}"] for k in ("mean", "basis", "scatter", "common"))
        )
        state = {
            k.removeprefix("members."): torch.as_tensor(np.array(v))
            for k, v in arrays.items()
            if k.startswith("members.")
        }
        sizes = len(state["head"]), len(names), tuple(settings["hidden"]), len(parts.basis)
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
        if self.emulator:
            from starnet.baselines._synthetic import fit_with_emulator

            return fit_with_emulator(self, spectra[rows], labels, seed=seed, report=report)
        tell = report or (lambda line: None)
        pixels, stars = Pixels.of(spectra[rows]), spectra.stars[rows]
        low, high = labels.bounds().T
        x = torch.as_tensor(2 * (labels.values - low) / (high - low) - 1).float()
        held = torch.zeros(self.folds, len(rows), dtype=torch.bool)
        for i, (_, out) in enumerate(k_folds(stars, self.folds, seed)):
            held[i, torch.as_tensor(out)] = True
        mean, scatter = first_scatter(pixels)
        n, hidden = self._sizes(len(rows), len(labels.names))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            members = Members(self.folds, len(labels.names), hidden, n)
        course = Course(self.steps, self.batch_size, self.lr, self.weight_decay, seed)
        parts = find_components(pixels, mean, scatter, n, seed)
        for number in range(self.rounds):
            forms = parts.forms(pixels)
            if not number:
                members.spread.copy_(_spread(forms))
            learn(members, x, forms, held, course, tell)
            with torch.no_grad():
                value = of_own_fold(members(x), held).numpy()
            parts = unexplained(parts, pixels, value, 0, seed)
        chosen = np.random.default_rng(seed).permutation(len(rows))
        begin = x.numpy()[chosen[:STARTS]].astype(float)
        tried = chosen[:TRIED]
        most = min(self.common, len(rows) // 4)
        options = [parts]
        if most:
            options.append(unexplained(parts, pixels, value, most, seed))
        ends = [
            _held_out(members, begin, part, pixels[tried], held[:, tried], self.starts)
            for part in options
        ]
        off = [_scatter(end - x.numpy()[tried]) for end, _ in ends]
        best = int(np.argmin([np.mean(np.log(o)) for o in off]))
        tell(f"directions in common {len(options[best].common)}, off by {off[best].round(3)}")
        end, sigma = ends[best]
        more = extra(end - x.numpy()[tried], sigma)
        return FittedPayne(
            method=self, names=labels.names, grid=spectra.grid, low=low, high=high, extra=more,
            components=options[best], members=members.eval(), begin=begin,
        )  # fmt: skip

    def _sizes(self, n_stars: int, n_labels: int) -> tuple[int, tuple[int, ...]]:
        """Components and nodes for so many stars."""
        n = self.components or int(np.clip(n_stars // 6, 8, 16 + 2 * n_labels))
        width = 24 if n_stars < 300 else 48 if n_stars < 3000 else 96
        return min(n, n_stars - 1), self.hidden or (width, width)


def _spread(forms: Any) -> torch.Tensor:
    """Of the coefficients that fit each star best, (K,), somewhat held back."""
    gram = forms.gram.double()
    ridge = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(gram.shape[1])
    value = torch.linalg.solve(gram + 1e-3 * ridge, forms.right.double()[..., None])[..., 0]
    return value.std(dim=0).clamp_min(1e-9).float()


def _held_out(
    members: Members, begin: Array, parts: Components, pixels: Pixels, held: Any, starts: int
) -> tuple[Array, Array]:
    """Scaled labels (N, L) and errors of stars, each by the member that has not seen it."""
    end = np.full((len(pixels), begin.shape[1]), np.nan)
    sigma = end.copy()
    for i, rows in enumerate(held.numpy()):
        if rows.any():
            model = Labelled.of(members, begin, REACH, which=[i])
            some = pixels[rows]
            end[rows], sigma[rows] = fit_labels(model, parts.forms(some), some.known, starts)
    return end, sigma


def _scatter(off: Array) -> Array:
    """Robust scatter (L,) about 0, with a floor."""
    return np.maximum(1.4826 * np.nanmedian(np.abs(off), axis=0), 1e-6)
