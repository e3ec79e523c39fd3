"""Training and prediction speed against the same network in Keras 3 with TensorFlow.

Figure ``spectra-2``: 41,000 made-up spectra of 7,214 pixels, the 2018 network, both libraries at
their defaults on the same processor. Keras runs in a process of its own, because two OpenMP and
thread pools in one process would slow each other; the two processes take turns, round by round,
and one waits while the other works. Each figure is the median over rounds; ratios are medians of
the ratios within a round.

    python benchmarks/spectra_2_speed.py
    python benchmarks/spectra_2_speed.py --rounds 3 --spectra 8000      # a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

N_PIXELS, N_LABELS = 7214, 3
PREDICT_SIZES = (32, 64, 128, 256, 512, 1024)
SEED = 2018
QUIET: dict[str, Any] = {"verbose": 0}
TIMED = 2048  # spectra of each timed piece, another part of the whole in every round


def spectra(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise in place of spectra (N, P) and of scaled labels (N, L)."""
    rng = np.random.default_rng(SEED)
    inputs = rng.standard_normal((n, N_PIXELS), dtype=np.float32)
    return inputs, rng.standard_normal((n, N_LABELS), dtype=np.float32)


class Ours:
    """StarNet by the package's own `fit` and `apply_network`."""

    def __init__(self, n: int) -> None:
        from starnet.models import StarNetConfig, build_network

        self.inputs, self.targets = spectra(n)
        self.inputs = self.inputs[:, None]  # (N, 1, P)
        self.network = build_network(StarNetConfig(N_PIXELS, N_LABELS), seed=SEED)

    def train(self, batch_size: int, start: int, n: int) -> float:
        """Spectra per second of one epoch over ``n`` spectra."""
        from starnet.training.config import TrainingConfig
        from starnet.training.loop import fit
        from starnet.training.streams import ArrayStream

        rows = slice(start, start + n)
        stream = ArrayStream(self.inputs[rows], self.targets[rows])
        config = TrainingConfig(epochs=1, batch_size=batch_size, device="cpu", restore_best=False)
        history = fit(self.network, stream, None, config, progress=False)
        return n / history.epochs[0].seconds

    def predict(self, batch_size: int, start: int, n: int) -> float:
        """Spectra per second."""
        from starnet.models import apply_network

        begun = time.perf_counter()
        apply_network(self.network, self.inputs[start : start + n], batch_size=batch_size)
        return n / (time.perf_counter() - begun)


class Keras:
    """The same network in Keras, by `fit` and `predict`."""

    def __init__(self, n: int) -> None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import keras
        from keras import layers

        keras.utils.set_random_seed(SEED)
        self.inputs, self.targets = spectra(n)
        self.inputs = self.inputs[:, :, None]  # channels last, the default
        he: Any = {"kernel_initializer": "he_normal"}
        self.network = keras.Sequential(
            [
                layers.Input((N_PIXELS, 1)),
                layers.Conv1D(4, 8, activation="relu", **he),
                layers.Conv1D(16, 8, activation="relu", **he),
                layers.MaxPooling1D(4),
                layers.Flatten(),
                layers.Dense(256, activation="relu", **he),
                layers.Dense(128, activation="relu", **he),
                layers.Dense(N_LABELS, **he),
            ]
        )
        assert self.network.count_params() == 7_406_903
        self.network.compile(optimizer=keras.optimizers.Adam(7e-4), loss="mse")

    def train(self, batch_size: int, start: int, n: int) -> float:
        """Spectra per second of one epoch over ``n`` spectra."""
        rows = slice(start, start + n)
        inputs, targets = self.inputs[rows], self.targets[rows]
        begun = time.perf_counter()
        self.network.fit(inputs, targets, batch_size=batch_size, epochs=1, **QUIET)
        return n / (time.perf_counter() - begun)

    def predict(self, batch_size: int, start: int, n: int) -> float:
        """Spectra per second."""
        begun = time.perf_counter()
        self.network.predict(self.inputs[start : start + n], batch_size=batch_size, **QUIET)
        return n / (time.perf_counter() - begun)


SIDES: dict[str, Callable[[int], Ours | Keras]] = {"ours": Ours, "keras": Keras}


def serve(side: str, n: int) -> None:
    """Answers one request per line until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print must not mix with the answers
    worker = SIDES[side](n)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        what, batch_size, start, count = json.loads(line)
        print(getattr(worker, what)(batch_size, start, count), file=answers, flush=True)


class Worker:
    """A side in a process of its own."""

    def __init__(self, side: str, n: int, cores: int) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", side, "--spectra", str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._read() != "ready":
            raise SystemExit(f"the process of {side} did not start")

    def __call__(self, what: str, batch_size: int, start: int, n: int) -> float:
        assert self._process.stdin is not None
        print(json.dumps([what, batch_size, start, n]), file=self._process.stdin, flush=True)
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def measure(n: int, rounds: int, cores: int) -> dict[str, dict[str, list[float]]]:
    """Rates by task and side, one entry per round; the first round warms up and is dropped."""
    workers = {side: Worker(side, n, cores) for side in SIDES}
    tasks = [("train", 32, TIMED), ("train", 256, TIMED)]
    tasks += [("predict", size, TIMED) for size in PREDICT_SIZES]
    rates: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds + 1):
        for what, size, count in tasks:
            start = (turn * count) % max(n - count, 1)
            for side, worker in workers.items():
                rate = worker(what, size, start, count)
                if turn:
                    rates.setdefault(f"{what} {size}", {}).setdefault(side, []).append(rate)
        print(f"round {turn} of {rounds} done", flush=True)
    for worker in workers.values():
        worker.close()
    return rates


def median_ratio(rates: dict[str, list[float]]) -> float:
    """Ours over theirs, the median of the rounds."""
    pairs = zip(rates["ours"], rates["keras"], strict=True)
    return statistics.median(a / b for a, b in pairs)


def best_of(rates: dict[str, dict[str, list[float]]], side: str) -> str:
    """The prediction task with a side's best median."""
    tasks = [t for t in rates if t.startswith("predict")]
    return max(tasks, key=lambda t: statistics.median(rates[t][side]))


def gemm_gflops(size: int = 4096, repeats: int = 5) -> float:
    """The machine's best rate for a square float32 matrix product in torch, GFLOP/s."""
    import torch

    a, b = torch.randn(size, size), torch.randn(size, size)
    best = min(timed(lambda: a @ b) for _ in range(repeats))
    return 2 * size**3 / best / 1e9


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def breakdown(batch_size: int, repeats: int = 15) -> dict[str, float]:
    """Where a training step goes: milliseconds by part, medians, each part timed by itself."""
    import torch
    from torch.nn import functional

    from starnet.models import StarNetConfig, build_network, keep_memory
    from starnet.models._fused import conv_block
    from starnet.training.config import TrainingConfig
    from starnet.training.optim import build_optimizer

    keep_memory()
    network = build_network(StarNetConfig(N_PIXELS, N_LABELS), seed=SEED)
    parameters = dict(network.named_parameters())
    convolution = [parameters[f"convs.{i}.{kind}"] for i in (0, 1) for kind in ("weight", "bias")]
    dense = [p for name, p in parameters.items() if not name.startswith("convs")]
    optimizer = build_optimizer(network, TrainingConfig())
    x = torch.randn(batch_size, 1, N_PIXELS)
    targets = torch.randn(batch_size, N_LABELS)
    times: dict[str, list[float]] = {}

    def part(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = work()
        times.setdefault(name, []).append(1e3 * (time.perf_counter() - begun))
        return result

    def rest(pooled: torch.Tensor) -> torch.Tensor:
        h = pooled.flatten(1)
        for i in (0, 1):
            h = functional.relu(
                functional.linear(h, parameters[f"dense.{i}.weight"], parameters[f"dense.{i}.bias"])
            )
        out = functional.linear(h, parameters["head.weight"], parameters["head.bias"])
        return functional.mse_loss(out, targets)

    for _ in range(repeats):
        begun = time.perf_counter()
        pooled = part("conv forward", lambda: conv_block(x, *convolution, pool=4, same=False))
        cut = pooled.detach().requires_grad_()
        loss = part("dense forward", lambda cut=cut: rest(cut))
        g, *grads = part(
            "dense backward", lambda a=loss, b=cut: torch.autograd.grad(a, [b, *dense])
        )
        more = part("conv backward", lambda a=pooled, g=g: torch.autograd.grad(a, convolution, g))
        for parameter, grad in zip([*convolution, *dense], [*more, *grads], strict=True):
            parameter.grad = grad
        part("optimiser", optimizer.step)
        del g, grads, more
        part("other", lambda: optimizer.zero_grad(set_to_none=True))
        times.setdefault("whole step", []).append(1e3 * (time.perf_counter() - begun))
    return {name: round(statistics.median(values[2:]), 2) for name, values in times.items()}


def onnx_rates(n: int, sizes: tuple[int, ...] = (64, 256)) -> dict[str, float]:
    """Spectra per second of ONNX Runtime, where it is installed; for comparison only."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return {}
    import tempfile
    import warnings

    import torch

    from starnet.models import StarNetConfig, build_network

    network = build_network(StarNetConfig(N_PIXELS, N_LABELS), seed=SEED).eval()
    inputs = spectra(n)[0][:, None]
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter announces its successor
            torch.onnx.export(
                network,
                (torch.zeros(2, 1, N_PIXELS),),
                f"{folder}/starnet.onnx",
                input_names=["x"],
                dynamic_axes={"x": {0: "batch"}},
                dynamo=False,
            )
        session = onnxruntime.InferenceSession(
            f"{folder}/starnet.onnx", providers=["CPUExecutionProvider"]
        )
    found = {}
    for size in sizes:
        parts = [{"x": inputs[i : i + size]} for i in range(0, n, size)]
        session.run(None, parts[0])
        best = min(timed(lambda parts=parts: [session.run(None, p) for p in parts]) for _ in "123")
        found[str(size)] = round(n / best, 1)
    return found


def figures(rates: dict[str, dict[str, list[float]]], gemm: float) -> dict[str, Any]:
    """The figures that the issue names."""
    ours, theirs = best_of(rates, "ours"), best_of(rates, "keras")
    predict = [a / b for a, b in zip(rates[ours]["ours"], rates[theirs]["keras"], strict=True)]
    return {
        "train_ratio": round(median_ratio(rates["train 32"]), 2),
        "train_ratio_256": round(median_ratio(rates["train 256"]), 2),
        "predict_ratio": round(statistics.median(predict), 2),
        "train_per_s": round(statistics.median(rates["train 32"]["ours"]), 1),
        "train_per_s_256": round(statistics.median(rates["train 256"]["ours"]), 1),
        "predict_per_s": round(statistics.median(rates[ours]["ours"]), 1),
        "gemm_gflops": round(gemm, 1),
    }


def table(rates: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """One row per task: medians and the range of the ratio."""
    rows = []
    for task, sides in rates.items():
        ratios = [a / b for a, b in zip(sides["ours"], sides["keras"], strict=True)]
        rows.append(
            {
                "task": task,
                "ours_per_s": round(statistics.median(sides["ours"]), 1),
                "keras_per_s": round(statistics.median(sides["keras"]), 1),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_least": round(min(ratios), 2),
                "ratio_most": round(max(ratios), 2),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spectra", type=int, default=41_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.spectra)
        return
    from _record import record

    rates = measure(options.spectra, options.rounds, options.cores)
    gemm = gemm_gflops()
    rows = table(rates)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    parts = {str(size): breakdown(size) for size in (32, 256)}
    print(json.dumps(parts, indent=1))
    found = figures(rates, gemm)
    print(json.dumps(found, indent=1))
    record(
        "spectra",
        2,
        found,
        seed=SEED,
        spectra=options.spectra,
        timed_spectra=TIMED,
        rounds=options.rounds,
        table=rows,
        step_ms=parts,
        onnxruntime_per_s=onnx_rates(2048),
    )


if __name__ == "__main__":
    main()
