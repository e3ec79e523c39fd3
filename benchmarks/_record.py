"""Writes a benchmark's figures with all that is needed to trust them: command, seed, machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
VERSIONS = (
    "numpy",
    "scipy",
    "astropy",
    "specutils",
    "torch",
    "zarr",
    "keras",
    "tensorflow-cpu",
    "pysme-astro",
)


def record(
    key: str, number: int | str, figures: dict[str, Any], *, seed: int | None, **extra: Any
) -> Path:
    """Write ``results/KEY-NUMBER.json``: the figures, then how they were made.

    Parameters
    ----------
    key, number
        Which figure of which issue, for example ``"spectra", 1``.
    figures : dict
        Numbers under their names; nest with dicts.
    seed : int or None
        Seed of the run; None where nothing is random.
    **extra
        Anything else worth keeping (sizes, settings, tables).
    """
    result = {
        **figures,
        **extra,
        "made": {
            "command": _command(),
            "seed": seed,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": _git("rev-parse", "--short", "HEAD"),
            "uncommitted_changes": bool(
                _git("status", "--porcelain", "--", "src", "benchmarks/*.py")
            ),
            "machine": machine(),
            "versions": versions(),
        },
    }
    path = RESULTS / f"{key}-{number}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")
    return path


def machine() -> dict[str, Any]:
    """Processor, cores and memory of this machine; no names and no addresses."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": round(pages / 2**30, 1)}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the figures, where installed."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _command() -> str:
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script.name
    words = [Path(w).name if Path(w).is_absolute() else w for w in sys.argv[1:]]
    return " ".join(["python", str(name), *words])


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
