"""Training of a reader on spectra that an emulator makes on the fly, through an observer."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from starnet._shipped import read_settings, shipped_names
from starnet._version import __version__
from starnet.artifact import Model
from starnet.errors import ConfigError
from starnet.library import draw_mixed
from starnet.models import Reader, build_network
from starnet.preprocess import Pipeline
from starnet.spectra import Labels, LabelScale
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.observe import Observer
from starnet.training.conditions import (
    Conditions,
    Sight,
    Views,
    draw_conditions,
    mean_depth,
    seen_by,
)
from starnet.training.descent import Descent, Loss
from starnet.training.emulator import components_of

Array = NDArray[Any]


@dataclass(frozen=True)
class ReaderTraining:
    """How the dense layers of a reader are trained.

    Attributes
    ----------
    conditions : int
        Sets of circumstances.
    together : int
        Sets in one step.
    batch_size : int
        Spectra in one step, over all sets.
    steps : int
    lr, weight_decay, average
        See `Descent`.
    emulator_error : float
        rms error of the emulator's flux, drawn for every spectrum.
    """

    conditions: int = 800
    together: int = 16
    batch_size: int = 1024
    steps: int = 20000
    lr: float = 1e-3
    weight_decay: float = 1e-4
    average: float = 0.9995
    emulator_error: float = 0.0006


@dataclass(frozen=True)
class ReaderRecipe:
    """How a reader is made of an emulator.

    Attributes
    ----------
    name, about : str
    emulator : str
        By name, or a folder.
    observer : mapping
        As `Observer.from_dict` takes it.
    preprocess : Pipeline
        From spectra on the instrument's grid to what the network sees; the network fits
        continua itself, so a rough scale for each chip is enough.
    stars : sequence of mapping
        Samplers, each with a ``share`` of the stars; see `starnet.library`.
    labels : tuple of str
        To learn; empty for all of the emulator's.
    network : mapping
        Settings of `ReaderConfig`, without sizes.
    sight : mapping
        Settings of `Sight`.
    training : ReaderTraining
    seed : int
    """

    name: str
    emulator: str
    observer: Mapping[str, Any]
    preprocess: Pipeline
    stars: tuple[Mapping[str, Any], ...]
    about: str = ""
    labels: tuple[str, ...] = ()
    network: Mapping[str, Any] = field(default_factory=dict)
    sight: Mapping[str, Any] = field(default_factory=dict)
    training: ReaderTraining = field(default_factory=ReaderTraining)
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As YAML and JSON hold it."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        out["preprocess"] = self.preprocess.to_dict()
        out["training"] = dataclasses.asdict(self.training)
        return out | {"labels": list(self.labels), "stars": [dict(s) for s in self.stars]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ReaderRecipe:
        """The inverse of `to_dict`.

        Raises
        ------
        ConfigError
            If a setting is unknown, missing or wrong.
        """
        values = dict(data)
        try:
            values["preprocess"] = Pipeline.from_dict(values["preprocess"])
            values["training"] = ReaderTraining(**values.get("training", {}))
            values["labels"] = tuple(values.get("labels", ()))
            values["stars"] = tuple(values["stars"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"The recipe of a reader is spelled wrongly: {error}.") from error


def load_reader_recipe(name_or_path: str | Path) -> ReaderRecipe:
    """A recipe of the package by name (`reader_recipes`), or one from a YAML file."""
    data, _ = read_settings(name_or_path, _folder(), "recipe of a reader")
    return ReaderRecipe.from_dict(data)


def reader_recipes() -> list[str]:
    """Names of the recipes of readers that come with the package."""
    return shipped_names(_folder())


def train_reader(
    recipe: ReaderRecipe,
    *,
    emulator: Emulator | None = None,
    start: Model | None = None,
    report: Callable[[str], None] | None = None,
    progress: bool = True,
    checkpoint_dir: str | Path | None = None,
) -> Model:
    """A model that reads labels, trained on spectra made on the fly.

    Parameters
    ----------
    recipe : ReaderRecipe
    emulator : Emulator, optional
        Instead of the one that the recipe names.
    start : Model, optional
        A reader of the same sizes whose components and weights training goes on from.
    report : callable, optional
        Told a sentence now and then.
    progress : bool
    checkpoint_dir : path, optional
        Where the same call goes on from after an interruption.

    Raises
    ------
    TrainingError
        If the loss becomes NaN.
    ConfigError, LabelError
        If the recipe does not fit the emulator.
    """
    say = report or (lambda text: None)
    emulator = emulator or Emulator.load(recipe.emulator)
    observer = Observer.from_dict(recipe.observer)
    grid = observer.instrument.grid
    names = recipe.labels or emulator.labels
    stars = draw_stars(recipe, emulator)
    chosen = [emulator.labels.index(name) for name in names]
    scale = LabelScale.fit(Labels(names, stars[:, chosen]))
    seen, _ = recipe.preprocess.output_grid(grid, "rest")
    pixels = np.flatnonzero(np.isin(grid.wavelength, seen.wavelength))
    views = Views(emulator, observer, pixels, Sight(**recipe.sight), recipe.seed)
    sizes = {"n_pixels": len(pixels), "n_labels": len(names), "n_channels": 2}
    settings = {"family": "reader", "chips": seen.chips, **recipe.network, **sizes}
    network = build_network(settings, seed=recipe.seed)
    assert isinstance(network, Reader)
    with torch.no_grad():
        pool = torch.as_tensor(stars, dtype=torch.float32)
        numbers = emulator.network.coefficients(pool[:20000])
    if start is None:
        _set_components(network, views, numbers, recipe.seed)
    else:
        _take_over(network, start)
        scale = start.scale
    say("components are set")
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("circumstances", total=recipe.training.conditions)
        conditions = draw_conditions(
            network, views, numbers, recipe.training.conditions, seed=recipe.seed,
            progress=lambda n: bar.update(task, completed=n),
        )  # fmt: skip
    say(f"{len(conditions)} circumstances drawn")
    targets = torch.as_tensor(scale.forward(stars[:, chosen]), dtype=torch.float32)
    loss = _loss(network, emulator, conditions, pool, targets, recipe.training)
    how = recipe.training
    descent = Descent(how.steps, how.lr, how.weight_decay, how.average, recipe.seed)
    descent.run(
        network,
        loss,
        folder=checkpoint_dir,
        signature=json.dumps(_provenance(recipe, emulator, len(conditions), start), default=str),
        report=lambda step, value, s: say(f"step {step}, loss {value:.4f}, {s:.0f} s"),
    )
    return Model(
        network=network.eval(),
        scale=scale,
        pipeline=recipe.preprocess,
        input_grid=grid,
        input_frame="rest",
        channels=("flux", "ivar"),
        name=recipe.name,
        provenance=_provenance(recipe, emulator, len(conditions), start),
    )


def draw_stars(recipe: ReaderRecipe, emulator: Emulator, n: int = 300_000) -> Array:
    """Labels (about n, L) of training stars, in the emulator's order, mixed."""
    return draw_mixed(recipe.stars, emulator, n, seed=recipe.seed)


def _take_over(network: Reader, start: Model) -> None:
    """Components and weights of another reader.

    Raises
    ------
    ConfigError
        If its sizes are others.
    """
    old = start.network
    same = isinstance(old, Reader) and all(
        getattr(old.config, name) == getattr(network.config, name)
        for name in ("n_pixels", "n_labels", "components", "hidden")
    )
    if not same:
        raise ConfigError(
            f"The model {start.name!r} cannot be gone on from: its network has other sizes, or is "
            "no reader."
        )
    fresh = network.state_dict()
    for name, value in old.state_dict().items():  # inputs that it did not have count for nothing
        missing = [a - b for a, b in zip(fresh[name].shape, value.shape, strict=True)]
        fresh[name] = functional.pad(value, (0, missing[-1])) if any(missing) else value
    network.load_state_dict(fresh)


@torch.no_grad()
def _set_components(
    network: Reader, views: Views, numbers: Tensor, seed: int, sets: int = 60, each: int = 80
) -> None:
    """Components of spectra as the instrument sees them, and the mean weight of each pixel."""
    rng = np.random.default_rng([seed, 2])
    flux, weight = [], np.zeros(network.config.n_pixels)
    for j in range(sets):
        rows = views.draw(views.star()[0])
        some = numbers[rng.integers(len(numbers), size=each)].numpy()
        flux.append(1 + rows[0] + some @ rows[1:])
        _, _, sigma, mask = seen_by(views, flux[-1][0], f"mean-{j}", rng)
        ivar = np.where(mask, 0.0, sigma**-2.0)
        weight += np.minimum(ivar / np.median(ivar[~mask]), 2.0) / sets
    spectra = np.concatenate(flux).astype(np.float32)
    mean, basis = components_of(spectra, network.config.components, seed)
    power = ((torch.from_numpy(spectra) - mean) @ basis.T).std(dim=0).clamp_min(1e-6)
    network.set_components(mean, basis, power, torch.from_numpy(weight).float())


def _loss(
    network: Reader,
    emulator: Emulator,
    conditions: Conditions,
    stars: Tensor,
    targets: Tensor,
    settings: ReaderTraining,
) -> Loss:
    """The loss of a step: new stars, each in two visits of a pair of circumstances."""
    groups = max(settings.together // 2, 1)
    size = settings.batch_size // (2 * groups)
    e = emulator.network.config.components
    error = settings.emulator_error * math.sqrt(emulator.network.config.n_pixels / e)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(stars), (groups * size,), generator=generator)
        pair = 2 * torch.randint(len(conditions) // 2, (groups,), generator=generator)
        with torch.no_grad():
            numbers = emulator.network.coefficients(stars[rows])
            numbers = numbers + error * torch.randn(numbers.shape, generator=generator)
            depth = mean_depth(emulator, numbers).view(groups, size)
            wrong = conditions.line_errors(depth, generator)
            numbers = numbers.view(groups, size, e)
            features = [conditions.features(pair + i, numbers, generator, wrong) for i in (0, 1)]
        hidden = network.hidden(torch.cat(features))
        mean, sigma = network.read(torch.cat(features), hidden)
        total = likelihood(mean, sigma, targets[rows].repeat(2, 1), step / settings.steps)
        if network.repeat_head is not None:
            first, second = mean.detach().chunk(2)
            spread = network.repeated(hidden.detach()).square().view(2, *first.shape).sum(dim=0)
            total = total + likelihood(first, spread.sqrt(), second, 1.0)
        return total

    return loss


def likelihood(mean: Tensor, sigma: Tensor, target: Tensor, progress: float) -> Tensor:
    """Negative log likelihood of normal errors, tempered at first.

    Each star's share is multiplied with ``sigma**(2 beta)``, beta falling from 0.5 to 0: hard
    stars are not left aside before they are learnt (Seitzer et al. 2022, arXiv:2203.09168).
    """
    beta = max(0.0, 0.5 * (1 - 2 * progress))
    each = 0.5 * ((target - mean) / sigma) ** 2 + torch.log(sigma)
    return (each * sigma.detach() ** (2 * beta)).mean()


def _provenance(
    recipe: ReaderRecipe, emulator: Emulator, n: int, start: Model | None
) -> dict[str, Any]:
    return {
        "starnet_version": __version__,
        "recipe": json.loads(json.dumps(recipe.to_dict(), default=str)),
        "emulator": emulator.describe(),
        "circumstances": n,
        "started_from": None if start is None else start.provenance.get("recipe"),
        "card": {"emulator": emulator.title},
    }


def _folder() -> Any:
    return resources.files("starnet") / "recipes" / "readers"
