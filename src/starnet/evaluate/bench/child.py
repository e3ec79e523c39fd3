"""The process of a cell: its memory is its own, and its end is nobody else's.

A task says what to compute and where the result goes. An error of the method is written beside the
result, and the process ends with 3; whatever else ends it is for the parent to record.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FAILED = 3
"""Exit code where the method failed and said why."""
PARENT = "STARNET_BENCH_PARENT"
"""Of the environment: the process that began this one, which may have ended since."""


def main(path: str) -> int:
    """Do the task of a file."""
    task = json.loads(Path(path).read_text())
    parent = int(os.environ.get(PARENT, os.getppid()))
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    status, reason = perform(task)
    if status == "done":
        return 0
    Path(task["error"]).write_text(json.dumps({"status": status, "reason": reason}))
    return FAILED


def perform(task: Mapping[str, Any]) -> tuple[str, str]:
    """Do a task: its status, and the reason of a failure.

    A full disk and a lack of memory are no failures of the method: "killed", to be tried again.
    """
    try:
        {"cell": _cell, "pretrain": _pretrain}[task["do"]](task)
    except Exception as error:  # whatever a method raises is its failure and not the bench's
        from starnet.errors import OutputError, StarNetError

        traceback.print_exc()
        status = "killed" if isinstance(error, OutputError | MemoryError) else "failed"
        own = isinstance(error, StarNetError)
        return status, str(error) if own else f"{type(error).__name__}: {error}"
    return "done", ""


def _cell(task: Mapping[str, Any]) -> None:
    from starnet.dataset import open_dataset
    from starnet.evaluate.bench.answers import Work, answer
    from starnet.evaluate.bench.cells import Result, write_result
    from starnet.evaluate.bench.entries import pipeline
    from starnet.evaluate.bench.models import code_digest
    from starnet.evaluate.bench.parts import Fold, assert_apart
    from starnet.evaluate.bench.suite import import_all

    import_all(task["modules"])
    data = open_dataset(task["data"])
    training = data if task["training"] == task["data"] else open_dataset(task["training"])
    learn, test = (np.asarray(task[side], dtype=np.int64) for side in ("learn", "test"))
    if task["entry"]["kind"] != "reader":
        assert_apart(Fold(task["fold"], learn, test), data, training)
    work = Work(
        data=data,
        training=training,
        entry=task["entry"],
        labels=tuple(task["labels"]),
        learn=learn,
        test=test,
        preprocess=pipeline(task["preprocess"]),
        seed=task["seed"],
        noise=task["noise"],
        readers=tuple(Path(folder) for folder in task["readers"]),
    )
    said = answer(work)
    snr = np.concatenate(
        [data.read(rows).snr for rows in np.array_split(test, len(test) // 500 + 1)]
    )
    about = {
        **said.about,
        "train_s": said.train_s,
        "pretrain_s": task.get("pretrain_s", 0.0),
        "per_s": said.per_s,
        "per_s_errors": said.per_s_errors,
        "peak_gb": peak_gb(),
        "n_spectra": len(learn),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "code": code_digest(),
    }
    truth = data.labels.select(task["labels"])[test]
    write_result(Path(task["out"]), Result(said.labels, truth, data.stars[test], snr, about))


def _pretrain(task: Mapping[str, Any]) -> None:
    """Readers of a recipe for fine-tuning, each in a folder, and how long they took."""
    from starnet.training.finetune import FineTuneRecipe, pretrain

    begun = time.perf_counter()
    models = pretrain(FineTuneRecipe.from_dict(task["recipe"]), report=print)
    folder = Path(task["out"])
    for model in models:
        model.save(folder / model.name, overwrite=True)
    about = {"names": [model.name for model in models], "seconds": time.perf_counter() - begun}
    Path(task["note"]).write_text(json.dumps(about))


def peak_gb() -> float:
    """Most memory that this process has had resident, GB.

    Of Linux's own record: what `resource` says of a process may be that of its parent.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e6
    except OSError:
        pass
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e9 if sys.platform == "darwin" else 1e6)


def _leave_with(parent: int) -> None:
    """End when the parent does."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
