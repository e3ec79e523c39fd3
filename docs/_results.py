"""The page of results, from the files that the benchmarks wrote. Says what is missing, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _benchmarks import BENCHMARKS, Benchmark

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
HIDDEN = ("made", "command", "seed", "machine", "versions")
UNKNOWN = "**Not measured yet.** The command `benchmarks/errors_1_coverage.py` measures it."
MANY = 40
"""Figures of one group above which the page leaves them to the file."""


def results(folder: Path = FOLDER) -> str:
    """The page in Markdown; it is a page even if nothing was measured."""
    known = [benchmark.key for benchmark in BENCHMARKS]
    others = [p.stem for p in sorted(folder.glob("*.json")) if p.stem not in known]
    more = [Benchmark(key, key, "", {}) for key in others]
    return "\n\n".join(_section(b, folder / f"{b.key}.json") for b in (*BENCHMARKS, *more))


def summary(prefix: str, folder: Path = FOLDER) -> str:
    """The figures that the benchmarks of one issue must give, in one table."""
    rows = ["| | figure | measured | target | |", "|---|---|---:|---:|---|"]
    for benchmark in BENCHMARKS:
        if benchmark.key.startswith(prefix):
            path = folder / f"{benchmark.key}.json"
            data = json.loads(path.read_text()) if path.is_file() else {}
            figures = dict(_flat({k: v for k, v in data.items() if k not in HIDDEN}))
            some = {k: figures[k] for k in benchmark.found(figures)}
            lines = _table(benchmark, some).splitlines()[2:]
            titles = [benchmark.title, *[""] * len(lines)]
            rows += [f"| {title} {line}" for title, line in zip(titles, lines, strict=False)]
    return "\n".join(rows)


def coverage_of_errors(folder: Path = FOLDER) -> str:
    """Of each label: how far coverage is from 68.27 and 95 per cent, raw and calibrated."""
    path = folder / "errors-1.json"
    if not path.is_file():
        return UNKNOWN
    data = json.loads(path.read_text())
    columns = [part[level] for level in ("off_68", "off_95") for part in (data["raw"], data)]
    head = "| label | 68 %, raw | calibrated | 95 %, raw | calibrated |"
    rows = [[f"`{name}`", *(f"{c[name]:+.1f}" for c in columns)] for name in columns[0]]
    return _markdown(head, rows)


def crps_of_methods(folder: Path = FOLDER) -> str:
    """Mean CRPS of each label by each method."""
    path = folder / "errors-1.json"
    if not path.is_file():
        return UNKNOWN
    methods = json.loads(path.read_text())["crps"]
    names = list(next(iter(methods.values())))
    rows = [[f"`{n}`", *(_shown(m.get(n, "")) for m in methods.values())] for n in names]
    return _markdown(f"| label | {' | '.join(methods)} |", rows)


def _markdown(head: str, rows: list[list[str]]) -> str:
    rule = "|---" + "|---:" * (head.count("|") - 2) + "|"
    return "\n".join([head, rule, *(f"| {' | '.join(row)} |" for row in rows)])


def _section(benchmark: Benchmark, path: Path) -> str:
    head = f"## {benchmark.title}\n\n{benchmark.about}"
    if not path.is_file():
        wanted = "; ".join(f"`{name}` {t}" for name, t in benchmark.targets.items()) or "none"
        return f"{head}\n\n**Not measured yet.** Targets: {wanted}."
    data = json.loads(path.read_text())
    made = data.get("made") or {name: data[name] for name in HIDDEN[1:] if name in data}
    groups = {k: dict(_flat({k: v})) for k, v in data.items() if k not in HIDDEN}
    figures = {
        k: v
        for group in groups.values()
        for k, v in group.items()
        if (len(group) <= MANY or benchmark.found([k])) and not _is_matrix(v)
    }
    long = [f"`{k}`: {len(group)} more." for k, group in groups.items() if len(group) > MANY]
    long += [
        f"`{k}`: a matrix." for group in groups.values() for k in group if _is_matrix(group[k])
    ]
    lists = [_rows(name, value) for name, value in data.items() if _is_table(value)]
    parts = [head, _table(benchmark, figures), *lists]
    parts += [f"In the file, and not here: {' '.join(long)}"] if long else []
    return "\n\n".join([*parts, _provenance(made, path.name)])


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_matrix(value: Any) -> bool:
    """Whether a figure has rows and columns, and too many for a line."""
    nested = isinstance(value, list) and bool(value) and all(isinstance(r, list) for r in value)
    return nested and sum(map(len, value)) > MANY


def _rows(name: str, rows: list[dict[str, Any]]) -> str:
    """A list of results of one form, as a table."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"`{name}`:", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    cells = (" | ".join(_shown(row.get(key, "")) for key in names) for row in rows)
    return "\n".join(lines + [f"| {line} |" for line in cells])


def _flat(data: dict[str, Any], prefix: str = ""):
    """Names and values of all figures, nested ones with dots; tables are shown apart."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif not _is_table(value):
            yield f"{prefix}{name}", value


def _table(benchmark: Benchmark, figures: dict[str, Any]) -> str:
    rows = ["| figure | measured | target | |", "|---|---:|---:|---|"]
    for name, value in figures.items():
        target = benchmark.target(name)
        verdict = "" if target is None else "met" if target.met(value, figures) else "**missed**"
        rows.append(f"| `{name}` | {_shown(value)} | {target or ''} | {verdict} |")
    for name in benchmark.missing(figures):
        rows.append(f"| `{name}` | not measured | {benchmark.targets.get(name, '')} | |")
    return "\n".join(rows)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|")
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1e4 else f"{value:.4g}"


def _provenance(made: dict[str, Any], name: str) -> str:
    machine, versions = made.get("machine", {}), made.get("versions", {})
    if isinstance(machine, dict):
        machine = ", ".join(f"{k} {v}" for k, v in machine.items())
    if isinstance(versions, dict):
        versions = ", ".join(f"{k} {v}" for k, v in versions.items())
    commit = str(made.get("commit", "unknown"))
    commit += " with uncommitted changes" if made.get("uncommitted_changes") else ""
    facts = {
        "command": f"`{made.get('command', 'unknown')}`",
        "seed": "none, nothing is random"
        if made.get("seed", "") is None
        else made.get("seed", "unknown"),
        "date": made.get("date", "unknown"),
        "commit": commit,
        "machine": machine or "unknown",
        "versions": versions or "unknown",
        "file": f"`benchmarks/results/{name}`",
    }
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())
