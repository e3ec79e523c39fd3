"""An amortised posterior: a head learns what is left of a trained reader's errors.

The reader stays as it is. Stars and circumstances are drawn as for the reader itself
(`training.conditions`), so that the head sees as many spectra as it likes, and no pixel.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starnet.artifact import Model, weights_digest
from starnet.errors import ConfigError
from starnet.models.amortised import amortised
from starnet.models.heads import label_log_prob
from starnet.models.reader import Reader
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Observer
from starnet.training.conditions import Conditions, Sight, Views, draw_conditions, mean_depth
from starnet.training.descent import Descent, Loss
from starnet.training.reader import ReaderRecipe, draw_stars

Array = NDArray[Any]
MEASURED = ("calibration", "scatter", "error_floor")
"""Fields of a model that were measured with the reader's own errors."""


@dataclass(frozen=True)
class Residuals:
    """What a head is trained on: stars and circumstances, through a reader that is kept.

    Attributes
    ----------
    reader : Reader
    emulator : Emulator
    conditions : Conditions
    stars : tensor (N, E)
        Labels as the emulator takes them.
    targets : tensor (N, L)
        Scaled labels as the reader gives them.
    error : float
        Of each of the emulator's numbers.
    """

    reader: Reader
    emulator: Emulator
    conditions: Conditions
    stars: Tensor
    targets: Tensor
    error: float

    @torch.no_grad()
    def draw(
        self, groups: int, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hidden layer (B, H), mean, width and target (B, L) of ``size`` stars in ``groups`` sets.

        B is ``groups * size``.
        """
        rows = torch.randint(len(self.stars), (groups * size,), generator=generator)
        which = torch.randint(len(self.conditions), (groups,), generator=generator)
        numbers = self.emulator.network.coefficients(self.stars[rows])
        numbers = numbers + self.error * torch.randn(numbers.shape, generator=generator)
        depth = mean_depth(self.emulator, numbers).view(groups, size)
        wrong = self.conditions.line_errors(depth, generator)
        seen = self.conditions.features(which, numbers.view(groups, size, -1), generator, wrong)
        hidden = self.reader.hidden(seen)
        return hidden, *self.reader.read(seen, hidden), self.targets[rows]

    def scores(self, groups: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `draw`: hidden layer (B, H), and labels (B, L) less the mean in units of the width."""
        hidden, mean, sigma, target = self.draw(groups, size, generator)
        return hidden, (target - mean) / sigma


def residuals(
    model: Model,
    emulator: Emulator,
    recipe: ReaderRecipe,
    *,
    conditions: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Residuals:
    """Stars and circumstances for a model's reader, drawn as the recipe says.

    Raises
    ------
    ConfigError
        If the model is no reader, or its labels or pixels are not those of the recipe.
    """
    reader = model.network
    names = tuple(recipe.labels or emulator.labels)
    if not isinstance(reader, Reader) or names != model.labels:
        raise ConfigError(
            f"An amortised posterior needs a reader of the labels {', '.join(names)}, as the "
            f"recipe has them; {model.name!r} is a {type(reader).__name__} of "
            f"{', '.join(model.labels)}. Give the model's own recipe."
        )
    observer = Observer.from_dict(recipe.observer)
    grid = observer.instrument.grid
    seen, _ = recipe.preprocess.output_grid(grid, "rest")
    if not seen.matches(model.grid):
        raise ConfigError(
            f"The recipe makes spectra on {seen.describe()} and the model reads "
            f"{model.grid.describe()}. Give the model's own recipe."
        )
    pixels = np.flatnonzero(np.isin(grid.wavelength, seen.wavelength))
    views = Views(emulator, observer, pixels, Sight(**recipe.sight), seed)
    stars = draw_stars(dataclasses.replace(recipe, seed=seed), emulator)
    chosen = [emulator.labels.index(name) for name in names]
    pool = torch.as_tensor(stars, dtype=torch.float32)
    with torch.no_grad():
        numbers = emulator.network.coefficients(pool[:20000])
    network = emulator.network.config
    return Residuals(
        reader=reader.eval(),
        emulator=emulator,
        conditions=draw_conditions(
            reader, views, numbers, conditions, seed=seed, progress=progress
        ),
        stars=pool,
        targets=torch.as_tensor(model.scale.forward(stars[:, chosen]), dtype=torch.float32),
        error=recipe.training.emulator_error * math.sqrt(network.n_pixels / network.components),
    )


def amortise(
    model: Model,
    emulator: Emulator,
    recipe: ReaderRecipe,
    *,
    head: Mapping[str, Any] | None = None,
    hidden: tuple[int, ...] = (256,),
    steps: int = 6000,
    lr: float = 1e-3,
    conditions: int | None = None,
    pool: int = 0,
    drawn: Residuals | None = None,
    report: Callable[[str], None] | None = None,
    checkpoint_dir: str | Path | None = None,
) -> Model:
    """A model with the reader of another and a head that gives its posterior.

    Parameters
    ----------
    model : Model
        Whose network is a `Reader`.
    emulator : Emulator
    recipe : ReaderRecipe
        That the reader was trained with.
    head : mapping, optional
        Kind and settings; a flow by default.
    hidden : tuple of int
        Nodes of the layers between the reader's and the head.
    steps, lr
        Of the descent.
    conditions : int, optional
        Sets of circumstances; as many as the recipe says by default.
    pool : int
        Spectra that are drawn beforehand, of which each step takes some at random. 0 draws new
        ones in every step, which costs more than all else.
    drawn : Residuals, optional
        Of `residuals`, if they were drawn before; for several heads on one reader.
    report : callable, optional
        Told a sentence now and then.
    checkpoint_dir : path, optional
        Where the same call goes on from after an interruption.

    Raises
    ------
    TrainingError
        If the loss becomes NaN.
    ConfigError
        If the recipe does not fit the model.
    """
    say = report or (lambda text: None)
    head = head or {"kind": "flow"}
    seed = recipe.seed + 1
    drawn = drawn or residuals(
        model, emulator, recipe, conditions=conditions or recipe.training.conditions, seed=seed
    )
    say(f"{len(drawn.conditions)} circumstances drawn")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = amortised(drawn.reader, head, hidden)
    how = recipe.training
    loss = _loss(network.top, drawn, how.together, how.batch_size // how.together, pool)
    settings = {"head": network.config.head, "hidden": list(hidden), "steps": steps, "lr": lr}
    settings |= {"pool": pool}
    Descent(steps, lr, how.weight_decay, how.average, seed).run(
        network.top,
        loss,
        folder=checkpoint_dir,
        signature=f"{settings} {len(drawn.conditions)} {weights_digest(drawn.reader)}",
        report=lambda step, value, s: say(f"step {step}, loss {value:.4f}, {s:.0f} s"),
    )
    forgotten = {f.name: {} for f in dataclasses.fields(model) if f.name in MEASURED}
    provenance = {**model.provenance, "amortised": settings}
    return dataclasses.replace(
        model,
        network=network.eval(),
        provenance=provenance,
        **forgotten,  # type: ignore[arg-type]
    )


def _loss(top: torch.nn.Module, drawn: Residuals, groups: int, size: int, pool: int) -> Loss:
    """Negative log density of a label, in units of the reader's width."""
    batch = groups * size
    kept = _pool(drawn, groups, size, -(-pool // batch)) if pool else None

    def loss(step: int, generator: torch.Generator) -> Tensor:
        if kept is None:
            hidden, z = drawn.scores(groups, size, generator)
        else:
            rows = torch.randint(len(kept[0]), (batch,), generator=generator)
            hidden, z = (part[rows] for part in kept)
        return -label_log_prob(top(hidden), z).mean() / z.shape[1]

    return loss


def _pool(drawn: Residuals, groups: int, size: int, n: int) -> tuple[Tensor, Tensor]:
    """n batches of `Residuals.scores`, joined."""
    generator = torch.Generator().manual_seed(groups * size + n)
    hidden, z = zip(*(drawn.scores(groups, size, generator) for _ in range(n)), strict=True)
    return torch.cat(hidden), torch.cat(z)
