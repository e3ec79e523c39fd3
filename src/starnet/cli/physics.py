"""`starnet physics`: which inputs of the synthesis are on this machine, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from starnet.cli._app import app, console

if TYPE_CHECKING:
    from starnet.synthesis.inputs import Coverage

COLOURS = {"present": "green", "missing": "yellow", "incomplete": "yellow", "damaged": "red"}


@app.command()
def physics(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the inputs. Default: $STARNET_PHYSICS, or your own."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare every checksum.")] = False,
) -> None:
    """Say which inputs of the synthesis are here, what they cover, and how to get the rest.

    The exit code is 0 when all that the engine needs is here and undamaged, else 1.
    """
    from starnet.synthesis.inputs import PhysicsInputs

    coverage = PhysicsInputs.locate(folder).coverage(check=check)
    console.print(_table(coverage))
    for line in _report(coverage):
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    if coverage.lacking:
        raise typer.Exit(1)


def _table(coverage: Coverage) -> Table:
    table = Table(title=f"physics inputs in {coverage.folder}", title_justify="left")
    table.add_column("role", style="cyan", no_wrap=True)
    for name in ("state", "files", "MB"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("what for")
    for state in coverage.states:
        role, colour = state.role, COLOURS[state.state]
        files = f"{len(state.found)}/{len(role.files)}"
        what = role.what if role.needed else f"{role.what} (optional)"
        mark = f"[{colour}]{state.state}[/]"
        table.add_row(role.name, mark, files, f"{role.size / 1e6:.1f}", what.replace("[", r"\["))
    return table


def _report(coverage: Coverage) -> list[str]:
    from starnet.synthesis.inputs import compilers, known_gaps

    lines = [
        f"Atomic lines: {_spans(coverage.atoms)}.",
        f"Molecular lines: {_spans(coverage.molecules)}.",
    ]
    for name, labels in coverage.atmospheres.items():
        ranges = ", ".join(f"{label} {low:g} to {high:g}" for label, (low, high) in labels.items())
        lines.append(f"Model atmospheres {name}: {ranges}.")
    lines += ["What the inputs lack even when all are here:", *(f"  {g}" for g in known_gaps())]
    for state in coverage.unfit:
        lines += [f"Damaged: {path} {why}." for path, why in state.damaged.items()]
        lines += [f"Missing: {path}." for path in state.missing if state.found]
    lines.append(_verdict(coverage))
    found = compilers()
    named = ", ".join(f"{language} ({command})" for language, command in found.items())
    lines.append(
        f"Compilers: {named}."
        if {"C", "C++"} <= set(found)
        else f"Compilers: {named or 'none'}; without C and C++ (cc, c++, or $CC and $CXX) the "
        "engine runs uncompiled, with the same results and more slowly."
    )
    return lines


def _verdict(coverage: Coverage) -> str:
    how = "checksums compared" if coverage.checked else "sizes compared; --check for checksums"
    if not coverage.unfit:
        return f"Everything is here ({how})."
    names = [state.role.name for state in coverage.lacking]
    missing = f"Needed and not here: {', '.join(names)}" if names else "All that is needed is here"
    return f"{missing} ({how}). Get the rest with:\n  {coverage.command}"


def _spans(spans: tuple[tuple[float, float], ...]) -> str:
    ranges = ", ".join(f"{start:.0f}-{stop:.0f}" for start, stop in spans)
    return f"{ranges} A (vacuum)" if ranges else "none"
