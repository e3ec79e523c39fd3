"""Other ways to errors, for the table of `errors_1_coverage.py`: heads on the reader, networks.

    python benchmarks/errors_1_methods.py --out FOLDER [--model apogee] [--only readers]

Each method becomes a model in a folder of its own in --out; those that are there are left as they
are, and an interrupted call goes on where it was. Nothing here sees a calibration or test star.

- ``reader-covariance``, ``reader-mixture``, ``reader-flow``: heads on the frozen reader of --model,
  trained on 400 circumstances as the reader was on more, and on 131,072 spectra, which are drawn
  beforehand (`starnet.training.amortise`).
- ``starnet``: the network of 2018 with dropout, on pixels, for all labels. Its errors are
  propagated from the pixels' own, and the scatter of its validation stars is added. In the table
  it has a second row, ``starnet-dropout``, where dropout stays on and its spread is the error.
- ``starnet-ensemble``: three networks of 2018 with a head that gives means and a covariance;
  ``starnet-covariance`` is the first of them.

The networks on pixels learn from 8,000 spectra with the noise that they were drawn with once, at
S/N 20 to 300, made as the recipe of --model says (the reader sees millions, with new noise each
time), in 8 epochs. They are what half an hour on one core gives, not the best of their kind; the
flow is one of couplings, as drawing from an autoregressive one takes ten times as long.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import starnet
from starnet.artifact import Model, network_inputs
from starnet.catalog.calibrate import with_errors
from starnet.dataset import DatasetWriter, SpectraDataset, open_dataset
from starnet.inference import Predictor
from starnet.inference.drawn import draw_spectra
from starnet.models import build_network, gather
from starnet.models.headed import Headed
from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline
from starnet.spectra import LabelScale
from starnet.training import Recipe, load_recipe, split_rows
from starnet.training.amortise import amortise, residuals
from starnet.training.loop import fit
from starnet.training.reader import ReaderRecipe
from starnet.training.streams import ArrayStream

SEED = 880_510
SNR = (20.0, 300.0)
BLOCK = 500
DROPOUT = 0.1
SCALE = 10.0
MEMBERS = 3
HEADS: dict[str, dict[str, Any]] = {
    "reader-covariance": {"kind": "covariance"},
    "reader-mixture": {"kind": "mixture"},
    "reader-flow": {"kind": "flow", "passes": 2, "nodes": [64]},
}
STARNETS = ("starnet", "starnet-covariance", "starnet-ensemble")


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is drawn and trained."""

    conditions: int = 400
    pool: int = 131_072
    steps: int = 3000
    spectra: int = 8000
    epochs: int = 8


QUICK = Size(conditions=8, pool=4096, steps=20, spectra=1000, epochs=1)


def readers(predictor: Predictor, out: Path, size: Size) -> None:
    """Heads on the reader; circumstances are drawn once for all of them."""
    wanted = {name: head for name, head in HEADS.items() if not (out / name).exists()}
    if not wanted:
        return
    model, emulator = predictor.model, predictor.emulator
    assert emulator is not None
    recipe = ReaderRecipe.from_dict(model.provenance["recipe"])
    begun = time.perf_counter()
    drawn = residuals(model, emulator, recipe, conditions=size.conditions, seed=recipe.seed + 1)
    print(f"{size.conditions} circumstances, {time.perf_counter() - begun:.0f} s", flush=True)
    for name, head in wanted.items():
        made = timed(
            name,
            lambda head=head, name=name: amortise(
                model, emulator, recipe, head=head, steps=size.steps, pool=size.pool, drawn=drawn,
                report=lambda text: print(name, text, flush=True),
                checkpoint_dir=work(out) / name,
            ),
        )  # fmt: skip
        dataclasses.replace(made, name=name).save(out / name)


def starnets(predictor: Predictor, out: Path, size: Size) -> None:
    """Networks on pixels."""
    if all((out / name).exists() for name in STARNETS):
        return
    dataset = spectra(predictor, work(out) / f"drawn-{size.spectra}.zarr", size.spectra)
    if not (out / "starnet").exists():
        recipe = on_pixels("starnet-2018", predictor.model, size)
        network = {**recipe.networks[0], "dropout": DROPOUT}
        model, valid = trained(dataset, dataclasses.replace(recipe, networks=(network,)), out)
        model, told = with_errors(model, dataset, valid)
        print("starnet", told, flush=True)
        dataclasses.replace(model, calibration={}, name="starnet").save(out / "starnet")
    if not all((out / name).exists() for name in STARNETS[1:]):
        recipe = on_pixels("starnet-errors", predictor.model, size)
        model, _ = trained(dataset, dataclasses.replace(recipe, copies=MEMBERS), out)
        first: Any = model.network.members[0]  # type: ignore[index]
        for name, network in zip(STARNETS[1:], (first, model.network), strict=True):
            dataclasses.replace(model, network=network, name=name).save(out / name, overwrite=True)


def spectra(predictor: Predictor, path: Path, n: int) -> SpectraDataset:
    """Spectra like those of the model's training, drawn in blocks; an interruption loses one."""
    if path.exists():
        return open_dataset(path)
    model, emulator = predictor.model, predictor.emulator
    assert emulator is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    recipe = model.provenance["recipe"]
    made_of = {key: recipe.get(key) for key in ("emulator", "observer", "stars", "sight")}
    settings = {**made_of, "seed": SEED, "snr": SNR}
    begun = time.perf_counter()
    with DatasetWriter(
        path, grid=model.input_grid, frame=model.input_frame, label_names=model.labels,
        resume=True, settings=settings, provenance={"name": path.stem},
    ) as writer:  # fmt: skip
        for start in range(len(writer), n, BLOCK):
            some, labels = draw_spectra(model, emulator, BLOCK, seed=SEED + start, snr=SNR)
            writer.append(some, labels.select(model.labels))
            writer.flush()
            print(f"{len(writer)} spectra, {time.perf_counter() - begun:.0f} s", flush=True)
    return open_dataset(path)


def on_pixels(name: str, model: Model, size: Size) -> Recipe:
    """A recipe of the package, for the model's labels and pixels and this many spectra."""
    recipe = load_recipe(name).with_settings(
        schedule="onecycle", lr=1e-3, epochs=size.epochs, patience=None, split=(0.9, 0.1, 0.0)
    )
    first = model.pipeline.steps[:1]  # the choice of pixels
    pipeline = Pipeline((*first, InterpolateMasked(), ChipMedian()))
    return dataclasses.replace(recipe, labels=model.labels, preprocess=pipeline, log10=())


def trained(dataset: SpectraDataset, recipe: Recipe, out: Path) -> tuple[Model, Any]:
    """The model of a recipe, and the rows of its validation stars.

    As `starnet.training.train_model` makes it, but for `centred`.
    """
    train, valid, _ = split_rows(dataset, recipe)
    labels = dataset.labels.select(recipe.labels)
    scale = LabelScale.fit(labels[train])
    targets, inputs = scale.forward(labels.values), prepared(dataset, recipe)
    networks = []
    for i in range(recipe.copies):
        settings = {"n_pixels": inputs.shape[2], "n_labels": len(scale.names), "n_channels": 1}
        network = centred(build_network({**recipe.networks[0], **settings}, seed=i))
        first, second = (
            ArrayStream(inputs, targets[rows], places=rows, shuffle=rows is train)
            for rows in (train, valid)
        )
        how = dataclasses.replace(recipe.training, seed=i)
        folder = work(out) / f"{recipe.name}-{i}"
        history = timed(
            folder.name,
            lambda: fit(network, first, second, how, checkpoint_dir=folder, progress=False),  # noqa: B023
        )
        best = min(history, key=lambda epoch: epoch.valid_loss)
        print(f"{len(history)} epochs, validation {best.valid_loss:.4f}", flush=True)
        networks.append(network)
    model = Model(
        gather(networks).eval(), scale, recipe.preprocess, dataset.grid, dataset.frame,
        provenance={"recipe": recipe.to_dict(), "dataset": dataset.provenance},
    )  # fmt: skip
    return model, valid


def prepared(dataset: SpectraDataset, recipe: Recipe) -> Any:
    """Inputs (N, 1, P) of all spectra."""
    starts = range(0, len(dataset), BLOCK)
    rows = [np.arange(start, min(start + BLOCK, len(dataset))) for start in starts]
    return np.concatenate([network_inputs(recipe.preprocess(dataset.read(r))) for r in rows])


def centred(network: nn.Module) -> nn.Module:
    """The network, its first layer set to start with (flux - 1) * SCALE instead of the flux.

    With the flux itself, all of whose pixels are near 1, dropout and 21 labels, it ended with
    rectifiers that let nothing through. A head starts with a tenth of its weights, as covariances
    of large numbers make it diverge.
    """
    layer = next(part for part in network.modules() if isinstance(part, nn.Conv1d))
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.mul_(SCALE)
        layer.bias.copy_(-layer.weight.sum(dim=(1, 2)))
        if isinstance(network, Headed):
            for weight in network.head.parameters():
                weight.mul_(0.1)
    return network


def timed(name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gives; how long it took is printed."""
    begun, spent = time.perf_counter(), time.process_time()
    made = make()
    spent = time.process_time() - spent
    took = time.perf_counter() - begun
    print(f"{name}: {took:.0f} s, {spent:.0f} s of processor time", flush=True)
    return made


def work(out: Path) -> Path:
    """The folder beside --out for what is no model."""
    return out.with_name(out.name + ".work")


MAKERS = {"readers": readers, "starnets": starnets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("--model", default="apogee")
    parser.add_argument("--only", choices=list(MAKERS), help="one half, so that two can run")
    parser.add_argument("--quick", action="store_true", help="a few of everything, to try it out")
    arguments = parser.parse_args()
    predictor = starnet.load(arguments.model)
    for name, make in MAKERS.items():
        if arguments.only in (None, name):
            make(predictor, arguments.out, QUICK if arguments.quick else Size())


if __name__ == "__main__":
    main()
