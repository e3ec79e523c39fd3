"""Real spectra with labels, read through readers that were trained on synthetic ones.

Readers learn from an emulator first, each from a part of the wavelengths. What they say of real
spectra is wrong in its own way wherever the physics is; a `Kernel` learns from hundreds of real
stars what their labels are, given what the readers say and the spectrum's principal components.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from starnet._shipped import read_settings, shipped_folders, shipped_names
from starnet._version import __version__
from starnet.artifact import Model, load_model, network_inputs
from starnet.dataset import SpectraDataset, k_folds
from starnet.errors import ConfigError, TrainingError
from starnet.models import Ensemble, Projection, Reader, build_network, gather
from starnet.models.kernel import Kernel, reader_settings
from starnet.models.quoted import TERMS, with_errors
from starnet.preprocess import Pipeline
from starnet.spectra import LabelScale
from starnet.synthesis.emulator import Emulator
from starnet.training.kernel import fit_kernel
from starnet.training.quote import HeldOut, correlations, errors_of, fit_widths
from starnet.training.reader import ReaderRecipe, train_reader
from starnet.training.recipe import Recipe
from starnet.training.train import train_model

Array = NDArray[Any]
FEWEST = 30
"""Stars to learn from, at least."""
CHANNELS = ("flux", "ivar")


@dataclass(frozen=True)
class FineTuneRecipe:
    """How a model of real spectra is made with the help of synthetic ones.

    Attributes
    ----------
    name, about : str
    labels : tuple of str
    reader : mapping
        As `ReaderRecipe.from_dict` takes it, without ``preprocess``; or ``{shipped: NAME}`` for a
        model that comes with the package, which reads the one window that there is then.
    windows : sequence of (start, stop)
        Pixels of each reader.
    preprocess : Pipeline
        Of the real spectra; the network sees every pixel of their grid.
    log10 : tuple of str
        Labels whose logarithm is learnt.
    select : mapping of label to (low, high)
        Stars that are used at all.
    network : mapping
        Settings of `KernelConfig`, without sizes and readers.
    beside : mapping
        Settings of a `Recipe`'s networks and training, for networks that see the real spectra
        alone; their mean and the kernel's labels count alike. Empty for the kernel alone.
    iterations : int
        Of the search for amplitudes and lengths.
    rounds : int
        How often stars are weighed anew.
    most : int
        Stars that the kernel learns from; of more, as many are drawn. Memory grows with their
        square and time with their cube.
    """

    name: str
    labels: tuple[str, ...]
    reader: Mapping[str, Any]
    windows: tuple[tuple[int, int], ...]
    preprocess: Pipeline
    about: str = ""
    log10: tuple[str, ...] = ()
    select: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    iterations: int = 25
    rounds: int = 2
    most: int = 3000

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FineTuneRecipe:
        """From what YAML holds.

        Raises
        ------
        ConfigError
            If a setting is unknown, missing or wrong.
        """
        values = dict(data)
        try:
            values["preprocess"] = Pipeline.from_dict(values["preprocess"])
            for name in ("labels", "log10", "windows"):
                values[name] = tuple(values.get(name, ()))
            values["windows"] = tuple((int(a), int(b)) for a, b in values["windows"])
            values["select"] = {k: (a, b) for k, (a, b) in values.get("select", {}).items()}
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The recipe for fine-tuning is spelled wrongly: {error}.") from error

    def to_dict(self) -> dict[str, Any]:
        """The inverse of `from_dict`, JSON-ready."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        out["preprocess"] = self.preprocess.to_dict()
        return dict(json.loads(json.dumps(out)))

    def readers(self) -> list[ReaderRecipe]:
        """The recipe of the reader of each window."""
        return [self._reader(i, *window) for i, window in enumerate(self.windows)]

    def plain(self) -> Recipe:
        """The recipe of the networks beside the kernel."""
        limits = {name: list(pair) for name, pair in self.select.items()}
        return Recipe.from_dict(
            {
                "name": self.name,
                "labels": self.labels,
                "log10": self.log10,
                "select": limits,
                "preprocess": self.preprocess.to_dict(),
                **self.beside,
            }
        )

    def _reader(self, i: int, start: int, stop: int) -> ReaderRecipe:
        select = {"transform": "SelectPixels", "ranges": [[start, stop]], "unit": "pixel"}
        steps = [select, {"transform": "ChipMedian"}]
        own = {"name": f"{self.name}-{i}", "preprocess": {"transform": "Pipeline", "steps": steps}}
        return ReaderRecipe.from_dict({**self.reader, **own})


def load_finetune_recipe(name_or_path: str | Path) -> FineTuneRecipe:
    """A recipe of the package by name, or one from a YAML file."""
    data, _ = read_settings(name_or_path, _folder(), "recipe for fine-tuning")
    return FineTuneRecipe.from_dict(data)


def finetune_recipes() -> list[str]:
    """Names of the recipes for fine-tuning that come with the package."""
    return shipped_names(_folder())


def pretrain(
    recipe: FineTuneRecipe,
    *,
    emulator: Emulator | None = None,
    report: Callable[[str], None] | None = None,
) -> list[Model]:
    """The readers of a recipe, trained on synthetic spectra; see `train_reader`.

    Raises
    ------
    ConfigError
        If the recipe asks for a shipped model that there is not, or for several windows of one.
    """
    if "shipped" in recipe.reader:
        return [_shipped(recipe)]
    made = []
    for one in recipe.readers():
        made.append(train_reader(one, emulator=emulator, report=report, progress=False))
    return made


def fine_tune(
    dataset: SpectraDataset,
    recipe: FineTuneRecipe,
    readers: Sequence[Model],
    *,
    rows: Array | None = None,
    held: HeldOut | None = None,
) -> Model:
    """A model of real spectra.

    Parameters
    ----------
    dataset : SpectraDataset
        With labels.
    recipe : FineTuneRecipe
    readers : sequence of Model
        As `pretrain` gives them.
    rows : array, optional
        Spectra to learn from; default: all that the recipe selects. Nothing looks at others. Of
        more than the recipe's ``most``, as many are drawn, always the same ones.
    held : HeldOut, optional
        What `hold_out` gives of the same recipe and rows: then the model has errors.

    Raises
    ------
    TrainingError
        If fewer than 30 spectra have a label.
    LabelError
        If the data set lacks a label.
    """
    rows = _usable(dataset, recipe, readers, rows)
    if held is not None and not np.isin(held.rows, rows).all():
        raise ConfigError(
            "held must come from hold_out with the same rows; it has stars that the model does "
            "not learn from."
        )
    members, scale = _members(dataset, recipe, readers, rows, spread=held is not None)
    return Model(
        network=(gather(members) if held is None else _with_errors(members, held)).eval(),
        scale=scale,
        pipeline=recipe.preprocess,
        input_grid=dataset.grid,
        input_frame=dataset.frame,
        channels=CHANNELS,
        name=recipe.name,
        provenance=_provenance(dataset, recipe, readers, len(rows)),
    )


def hold_out(
    dataset: SpectraDataset,
    recipe: FineTuneRecipe,
    readers: Sequence[Model],
    *,
    rows: Array | None = None,
    folds: int = 5,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
) -> HeldOut:
    """Each star as networks predict it that are fine-tuned on the stars of other folds.

    It takes ``folds`` times as long as `fine_tune`, whose arguments it shares. Errors follow from
    it, and a calibration may: ``HeldOut.predicted(fit_widths(held.residual, held.terms))``.
    """
    rows = _usable(dataset, recipe, readers, rows)
    labels = dataset.labels.select(recipe.labels)[rows]
    scale = LabelScale.fit(labels, log10=recipe.log10)
    mean = np.full(labels.values.shape, np.nan)
    terms = np.full((*mean.shape, len(TERMS)), np.nan)
    for i, (others, out) in enumerate(k_folds(dataset.stars[rows], folds, seed)):
        members, own = _members(dataset, recipe, readers, rows[others], spread=True)
        network = with_errors(
            members, torch.zeros(len(own.names), 4), torch.eye(len(own.names))
        ).eval()
        inputs = network_inputs(recipe.preprocess(dataset.read(rows[out])), CHANNELS)
        with torch.no_grad():
            said = [network.parts(x) for x in torch.as_tensor(inputs).float().split(100)]
        mean[out] = scale.forward(own.inverse(torch.cat([m for m, _ in said]).numpy()))
        finer = np.log(np.divide(own.scale, scale.scale))  # units of the logarithms
        terms[out] = torch.cat([t for _, t in said]).numpy() + finer[:, None]
        if report:
            report(f"stars held out: fold {i + 1} of {folds}")
    return HeldOut(rows, labels, mean, terms, scale, folds)


def _shipped(recipe: FineTuneRecipe) -> Model:
    """The shipped model that a recipe names."""
    folders = shipped_folders("models")
    name = str(recipe.reader["shipped"])
    if name not in folders or len(recipe.reader) > 1 or len(recipe.windows) != 1:
        raise ConfigError(
            f"A recipe with a shipped reader names one of {', '.join(folders)} and has one window; "
            f"received {dict(recipe.reader)} and {len(recipe.windows)} windows."
        )
    return load_model(folders[name])


def _members(
    dataset: SpectraDataset,
    recipe: FineTuneRecipe,
    readers: Sequence[Model],
    rows: Array,
    *,
    spread: bool,
) -> tuple[list[nn.Module], LabelScale]:
    """A kernel, and the networks beside it where the recipe has any."""
    labels = dataset.labels.select(recipe.labels)[rows]
    scale = LabelScale.fit(labels, log10=recipe.log10)
    inputs = network_inputs(recipe.preprocess(dataset.read(rows)), CHANNELS)
    network = _untrained(recipe, inputs, readers, spread=spread)
    targets = scale.forward(labels.values)
    fit_kernel(network, targets, recipe, labels.errors / scale.inverse_derivative(targets))
    members: list[nn.Module] = [network]
    if recipe.beside:
        nothing = np.zeros(0, dtype=np.int64)
        plain = train_model(dataset, recipe.plain(), rows=(rows, nothing, nothing), progress=False)
        members.append(_two_channels(plain.model.network))
    return members, scale


def _with_errors(members: list[nn.Module], held: HeldOut) -> nn.Module:
    """Members as a network that quotes the errors which stars held out ask for."""
    widths = fit_widths(held.residual, held.terms)
    z = held.residual / errors_of(widths, held.terms)
    return with_errors(members, torch.as_tensor(widths), torch.as_tensor(correlations(z)))


def _usable(
    dataset: SpectraDataset, recipe: FineTuneRecipe, readers: Sequence[Model], rows: Array | None
) -> Array:
    """Rows to learn from, of those that are given."""
    rows = np.arange(len(dataset)) if rows is None else np.asarray(rows)
    some = np.any(np.isfinite(dataset.labels.select(recipe.labels).values), axis=1)
    rows = rows[some[rows] & _selected(dataset, recipe)[rows]]
    if len(rows) < FEWEST:
        raise TrainingError(
            f"Fine-tuning needs at least {FEWEST} spectra with one of "
            f"{', '.join(recipe.labels)}; received {len(rows)}."
        )
    if len(readers) != len(recipe.windows):
        raise ConfigError(
            f"The recipe {recipe.name!r} has {len(recipe.windows)} windows; received "
            f"{len(readers)} readers. Make them with pretrain."
        )
    if len(rows) > recipe.most:
        rows = np.sort(np.random.default_rng(0).choice(rows, recipe.most, replace=False))
    return rows


def _untrained(
    recipe: FineTuneRecipe, inputs: Array, readers: Sequence[Model], *, spread: bool = False
) -> Kernel:
    """A kernel with its features of training inputs (N, 2, P)."""
    given = [reader.network for reader in readers if isinstance(reader.network, Reader)]
    assert len(given) == len(readers)
    settings = {
        **recipe.network,
        "family": "kernel",
        "n_pixels": inputs.shape[2],
        "n_labels": len(recipe.labels),
        "n_stars": len(inputs),
        "spread": spread,
        "readers": [reader_settings(n, w) for n, w in zip(given, recipe.windows, strict=True)],
        "own": _own(recipe.labels, readers),
    }
    network = build_network(settings, seed=0).eval()
    assert isinstance(network, Kernel)
    network.set_features(inputs, given)
    return network


def _own(labels: Sequence[str], readers: Sequence[Model]) -> list[list[int]]:
    """For each label the places where readers say the same, among all that they say."""
    said = [name for reader in readers for name in reader.labels]
    return [[i for i, name in enumerate(said) if name == label] for label in labels] if said else []


def _two_channels(network: nn.Module) -> nn.Module:
    """A projection, or an ensemble of them, that is fed flux and ivar and looks at flux."""
    if isinstance(network, Ensemble):
        return gather([_two_channels(member) for member in network.members])
    if not isinstance(network, Projection):
        raise ConfigError(
            "Networks beside a kernel must be of the family projection; received "
            f"{type(network).__name__}."
        )
    out = Projection(dataclasses.replace(network.config, n_channels=len(CHANNELS)))
    out.load_state_dict(network.state_dict())
    return out.eval()


def _selected(dataset: SpectraDataset, recipe: FineTuneRecipe) -> NDArray[np.bool_]:
    chosen = np.ones(len(dataset), dtype=bool)
    for name, (low, high) in recipe.select.items():
        column = dataset.labels.column(name)
        chosen &= (column > low) & (column < high)
    return chosen


def _provenance(
    dataset: SpectraDataset, recipe: FineTuneRecipe, readers: Sequence[Model], n_stars: int
) -> dict[str, Any]:
    titles = {r.provenance.get("card", {}).get("emulator") for r in readers}
    return {
        "starnet_version": __version__,
        "recipe": recipe.to_dict(),
        "stars": {"train": n_stars},
        "dataset": dataset.provenance,
        "emulators": sorted(str(title) for title in titles),
    }


def _folder() -> Any:
    return resources.files("starnet") / "recipes" / "finetune"
