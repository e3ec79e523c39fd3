"""Emulator of APOGEE on held-out synthetic stars: accuracy, speed, and other architectures.

    starnet synth synth-apogee --out library.zarr --physics FOLDER
    python benchmarks/emulator_1_emulator.py --library library.zarr [--compare]

Held out are the stars that the recipe's split sets aside; nothing was fitted to them. Errors are
taken on the pixels of APOGEE's chips through its line spread, and on all 8575 pixels of the
emulator's own, sharper spectra. Speed: all labels at once, against the published layout of The
Payne (two hidden layers of 300, leaky ReLU; Ting et al. 2019, ApJ 879, 69) in numpy, star by star.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from _record import record
from starnet.dataset import SpectraDataset, open_dataset, split_by_star
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.decoder import decoder_matrix
from starnet.synthesis.observe import Instrument
from starnet.training.emulate import EmulatorRecipe, accuracy, load_emulator_recipe
from starnet.training.emulator import fit_emulator

N_SPEED, N_ONE = 8192, 300


def held_out(
    library: SpectraDataset, recipe: EmulatorRecipe, emulator: Emulator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of all stars, and rows for training and of held-out stars within the hull."""
    labels = library.labels.select(recipe.labels).values
    limits = emulator.hull.limits
    over = labels @ limits[:, :-1].T + limits[:, -1]
    used = np.flatnonzero(np.isfinite(labels).all(axis=1) & np.all(over <= 0, axis=1))
    share = (1 - recipe.held_out, 0.0, recipe.held_out)
    train, _, test = split_by_star(library.stars[used], share, seed=recipe.seed)
    test = used[test]
    return labels, used[train], test[emulator.hull.contains(labels[test])]


def seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """Median time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def payne_numpy(n_labels: int, n_pixels: int, rng: np.random.Generator) -> Callable[[Any], Any]:
    """The published layout of The Payne; its speed does not depend on its weights."""
    sizes = (n_labels, 300, 300, n_pixels)
    w0, w1, w2 = (rng.normal(size=(b, a)) * 0.05 for a, b in itertools.pairwise(sizes))
    b0, b1, b2 = (rng.normal(size=n) for n in sizes[1:])

    def spectrum(x: Any) -> Any:
        inside = np.einsum("ij,j->i", w0, x) + b0
        outside = np.where(inside > 0, inside, 0.01 * inside)
        inside = np.einsum("ij,j->i", w1, outside) + b1
        outside = np.where(inside > 0, inside, 0.01 * inside)
        return np.einsum("ij,j->i", w2, outside) + b2

    return spectrum


class Plain(nn.Module):
    """A dense network straight to the pixels, in The Payne's layout."""

    def __init__(self, low: Tensor, high: Tensor, n_pixels: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.layers = nn.Sequential(
            nn.Linear(len(low), 300), nn.LeakyReLU(0.01), nn.Linear(300, 300),
            nn.LeakyReLU(0.01), nn.Linear(300, n_pixels),
        )  # fmt: skip

    def forward(self, labels: Tensor) -> Tensor:
        return self.layers((labels - self.low) / (self.high - self.low) - 0.5)


def plain_error(
    labels: np.ndarray, flux: np.ndarray, test: np.ndarray, held: np.ndarray, steps: int
) -> np.ndarray:
    """Errors (N, P) of The Payne's layout trained as it was published: Adam, absolute errors."""
    torch.manual_seed(0)
    low, high = (torch.as_tensor(edge(labels, axis=0)).float() for edge in (np.min, np.max))
    network = Plain(low, high, flux.shape[1])
    x, y = torch.as_tensor(labels).float(), torch.as_tensor(flux)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (256,))
        loss = (network(x[rows]) - y[rows]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return np.abs(network(torch.as_tensor(test).float()).numpy() - held)


def compared(
    labels: np.ndarray, flux: np.ndarray, test: np.ndarray, held: np.ndarray, steps: int
) -> dict[str, Any]:
    """Other architectures at the same number of steps: median and 99th percentile of errors."""
    settings = dataclasses.replace(load_emulator_recipe("apogee").training, steps=steps)
    tried = {
        "components, 3 x 512": settings,
        "components, 2 x 300": dataclasses.replace(settings, hidden=(300, 300)),
        "components, 1 x 512": dataclasses.replace(settings, hidden=(512,)),
        "96 components, 3 x 512": dataclasses.replace(settings, components=96),
    }
    out: dict[str, Any] = {}
    low, high = labels.min(axis=0), labels.max(axis=0)
    for name, one in tried.items():
        began = time.perf_counter()
        network = fit_emulator(labels, flux, low, high, one)
        with torch.no_grad():
            error = np.abs(network(torch.as_tensor(test).float()).numpy() - held)
        out[name] = _errors(error) | {"seconds": round(time.perf_counter() - began)}
    began = time.perf_counter()
    out["plain 2 x 300 to pixels"] = _errors(plain_error(labels, flux, test, held, steps))
    out["plain 2 x 300 to pixels"]["seconds"] = round(time.perf_counter() - began)
    return out


def _errors(error: np.ndarray) -> dict[str, Any]:
    return {
        "median_error": round(float(np.median(error)), 6),
        "p99_error": round(float(np.percentile(error, 99)), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--library", required=True)
    parser.add_argument("--emulator", default="apogee")
    parser.add_argument("--compare", action="store_true", help="train other architectures too")
    parser.add_argument("--steps", type=int, default=3000, help="of each architecture compared")
    args = parser.parse_args()
    recipe = load_emulator_recipe("apogee")
    emulator, library = Emulator.load(args.emulator), open_dataset(args.library)
    labels, train, test = held_out(library, recipe, emulator)
    grid = Instrument.preset("apogee").grid
    chips = np.concatenate([np.arange(a, b) for a, b in grid.chips])
    sharp = library.read(test).flux.astype(float)
    truth = (decoder_matrix(emulator.grid, grid) @ sharp.T).T[:, chips]
    point = torch.as_tensor(labels[test], dtype=torch.float32)
    with torch.no_grad():
        made = emulator.on(grid).flux(point).numpy()[:, chips]
        own = np.abs(emulator.flux(point).numpy() - sharp)
    error = np.abs(made - truth)
    regions = accuracy(labels[test], error, emulator.hull)
    pixels = np.percentile(error, 99, axis=0)

    rng = np.random.default_rng(0)
    many = torch.as_tensor(
        rng.uniform(emulator.hull.low, emulator.hull.high, (N_SPEED, len(emulator.labels))),
        dtype=torch.float32,
    )
    ready = emulator.on(grid)

    def all_at_once() -> None:
        with torch.no_grad():
            for start in range(0, N_SPEED, 1024):
                ready.flux(many[start : start + 1024])

    per_s = N_SPEED / seconds(all_at_once)
    one = payne_numpy(len(emulator.labels), grid.n_pixels, rng)
    rows = rng.uniform(-0.5, 0.5, (N_ONE, len(emulator.labels)))
    per_s_numpy = N_ONE / seconds(lambda: [one(row) for row in rows], repeats=3)
    figures: dict[str, Any] = _errors(error) | {
        "per_s": round(per_s),
        "ratio_numpy": round(per_s / per_s_numpy, 1),
        "per_s_numpy": round(per_s_numpy),
        "n_train": len(train),
        "n_test": len(test),
        "own_pixels": _errors(own),
        "regions": regions,
        "pixels_p99": {
            f"{q:g} % of pixels below": round(float(np.percentile(pixels, q)), 5)
            for q in (50, 90, 99, 100)
        },
    }
    if args.compare:
        flux = library.read(train).flux.astype(np.float32)
        figures["architectures"] = compared(labels[train], flux, labels[test], sharp, args.steps)
    record("emulator", 1, figures, seed=recipe.seed, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
