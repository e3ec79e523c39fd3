"""Error propagation: stars per second with the 2018 network, against the two usual ways.

Figure ``errors-4``: made-up spectra of 7,214 pixels, the 2018 network with 3 labels, two threads
on two cores. Three ways to the same covariances, which take turns in one process, round by round:

a. a loop over stars and labels, one backward pass of ordinary torch operations each;
b. batches, with one backward pass of ordinary torch operations for each label of a batch;
c. `starnet.inference.propagation.propagate`, from prepared spectra to covariances.

Rates are medians over rounds, and the ratio is the median of the ratios within a round. Then the
same for 20 labels. What (c) spends where is measured piece by piece.

    python benchmarks/errors_4_propagation.py
    python benchmarks/errors_4_propagation.py --quick      # a look; records nothing
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from _record import record
from starnet.artifact import Model
from starnet.inference.propagation import propagate
from starnet.models import StarNetConfig, build_network, plain_operations
from starnet.models._slopes import OpenBlock
from starnet.preprocess import Pipeline
from starnet.spectra import LabelScale, Spectra, WavelengthGrid

N_PIXELS, SEED, BATCH = 7214, 2018, 128
CHIPS = ((0, 2920), (2920, 5320), (5320, 7214))


def setting(n: int, n_labels: int) -> tuple[Model, Spectra]:
    """The 2018 network with fresh weights, and spectra at S/N 100 with 3 % of pixels masked."""
    grid = WavelengthGrid.log10(4.179, 6e-6, N_PIXELS, "vacuum", chips=CHIPS)
    names = tuple(f"label{i}" for i in range(n_labels))
    one, zero = (1.0,) * n_labels, (0.0,) * n_labels
    scale = LabelScale(names, zero, one, (-9.0,) * n_labels, (9.0,) * n_labels)
    network = build_network(StarNetConfig(N_PIXELS, n_labels), seed=SEED).eval()
    rng = np.random.default_rng(SEED)
    shape = (n, N_PIXELS)
    flux = 1 + 0.1 * rng.standard_normal(shape, dtype=np.float32)
    ivar = (100.0**2 * rng.uniform(0.5, 2.0, shape)).astype(np.float32)
    spectra = Spectra(grid, flux, ivar, rng.random(shape) < 0.03)
    return Model(network, scale, Pipeline(()), grid, "rest"), spectra


def loop(model: Model, spectra: Spectra) -> np.ndarray:
    """One backward pass for each label of each star, by ordinary operations."""
    out = []
    inputs = torch.from_numpy(model.inputs(spectra))
    variance = torch.from_numpy(variances(spectra))
    with plain_operations():
        for x, v in zip(inputs, variance, strict=True):
            x = x[None].requires_grad_()
            labels = model.network(x)[0]
            rows = [torch.autograd.grad(one, x, retain_graph=True)[0][0, 0] for one in labels]
            jacobian = torch.stack(rows)
            out.append((jacobian * v) @ jacobian.T)
    return torch.stack(out).numpy()


def batches(model: Model, spectra: Spectra, size: int = 32) -> np.ndarray:
    """One backward pass for each label of each batch, by ordinary operations."""
    out = []
    inputs = torch.from_numpy(model.inputs(spectra))
    variance = torch.from_numpy(variances(spectra))
    with plain_operations():
        for x, v in zip(inputs.split(size), variance.split(size), strict=True):
            x = x.requires_grad_()
            labels = model.network(x).sum(dim=0)
            rows = [torch.autograd.grad(one, x, retain_graph=True)[0][:, 0] for one in labels]
            jacobian = torch.stack(rows, dim=1)
            out.append((jacobian * v[:, None]) @ jacobian.mT)
    return torch.cat(out).numpy()


def ours(model: Model, spectra: Spectra) -> np.ndarray:
    """The package's own."""
    return propagate(model, spectra, batch_size=BATCH)[1]


def variances(spectra: Spectra) -> np.ndarray:
    """Of each pixel, 0 where it does not count."""
    good = ~spectra.mask & (spectra.ivar > 0)
    return np.where(good, 1 / np.where(good, spectra.ivar, 1), 0).astype(np.float32)


WAYS: dict[str, Callable[[Model, Spectra], np.ndarray]] = {
    "loop": loop,
    "batches": batches,
    "ours": ours,
}


def measure(n_labels: int, sizes: dict[str, int], rounds: int) -> dict[str, Any]:
    """Rates, ratios and differences; the first round warms up and is dropped."""
    model, spectra = setting(max(sizes.values()), n_labels)
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    differ = {"batches": 0.0, "ours": 0.0}
    for turn in range(rounds + 1):
        found = {}
        for way, work in WAYS.items():
            some = spectra[: sizes[way]]
            begun = time.perf_counter()
            found[way] = work(model, some)
            rates[way].append(sizes[way] / (time.perf_counter() - begun))
        for way in differ:
            differ[way] = max(differ[way], difference(found["loop"], found[way]))
        said = ", ".join(f"{way} {rates[way][-1]:.0f}/s" for way in WAYS)
        print(f"{n_labels} labels, round {turn} of {rounds}: {said}; load {os.getloadavg()[0]:.1f}")
    kept = {way: values[1:] for way, values in rates.items()}
    ratios = [c / a for a, c in zip(kept["loop"], kept["ours"], strict=True)]
    return {
        "per_s": {way: round(statistics.median(values), 1) for way, values in kept.items()},
        "ratio": round(statistics.median(ratios), 2),
        "rounds": {way: [round(v, 1) for v in values] for way, values in kept.items()},
        "largest_difference": {way: float(f"{v:.1e}") for way, v in differ.items()},
    }


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of covariances, in units of the two labels' errors."""
    other = other[: len(one)]
    error = np.sqrt(np.diagonal(one, axis1=1, axis2=2))
    return float(np.max(np.abs(one - other) / (error[:, :, None] * error[:, None, :])))


def breakdown(n_labels: int, repeats: int) -> dict[str, float]:
    """Microseconds a star by part of (c), medians, each part timed by itself."""
    model, spectra = setting(BATCH, n_labels)
    network: Any = model.network
    weights: Any = tuple(p for conv in network.convs for p in (conv.weight, conv.bias))
    first, second = network.dense
    times: dict[str, list[float]] = {}

    def part(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = work()
        times.setdefault(name, []).append(1e6 * (time.perf_counter() - begun) / BATCH)
        return result

    with torch.no_grad():
        for _ in range(repeats):
            x = part("inputs", lambda: torch.from_numpy(model.inputs(spectra[:BATCH])))
            block: Any = part(
                "convolutions forward",
                lambda x=x: OpenBlock.of(x, weights, pool=4, same=False),
            )
            h = part("dense forward", lambda b=block: functional.relu(first(b.out.flatten(1))))
            back = functional.relu(second(h)) > 0
            v = (network.head.weight * back[:, None]) @ second.weight
            v = v * (h > 0)[:, None]
            g = part("dense backward", lambda b=block, v=v: b.product(v, first.weight))
            g = g.unflatten(2, block.out.shape[1:])
            slopes = part("convolutions backward", lambda b=block, g=g: b.slopes(g))
            scaled = torch.from_numpy(variances(spectra))
            part("covariance", lambda j=slopes, s=scaled: (j * s[:, None]) @ j.mT)
            part("whole", lambda: propagate(model, spectra, batch_size=BATCH))
    return {name: round(statistics.median(values), 1) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a few stars; records nothing")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    torch.set_num_threads(options.cores)
    rounds, share = (2, 4) if options.quick else (9, 1)
    sizes = {"loop": 96 // share, "batches": 256 // share, "ours": 2048 // share}
    three = measure(3, sizes, rounds)
    sizes = {"loop": 24 // share, "batches": 64 // share, "ours": 512 // share}
    twenty = measure(20, sizes, rounds)
    parts = {str(n): breakdown(n, 5 if options.quick else 20) for n in (3, 20)}
    figures = {
        "ratio": three["ratio"],
        "per_s": three["per_s"]["ours"],
        "per_s_20": twenty["per_s"]["ours"],
    }
    extra = {
        "three_labels": three,
        "twenty_labels": twenty,
        "microseconds_per_star": parts,
        "threads": options.cores,
        "load": round(os.getloadavg()[0], 2),
    }
    if options.quick:
        print({**figures, **extra})
    else:
        record("errors", 4, figures, seed=SEED, **extra)


if __name__ == "__main__":
    main()
