"""The application that every verb joins, and what all verbs share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from starnet._version import __version__
from starnet._whole import write_text
from starnet.errors import ConfigError, StarNetError, TrainingInterrupted

app = typer.Typer(
    name="starnet",
    help="Stellar spectra to labels with neural networks.\n\n"
    "A first session: `starnet dataset build`, `starnet train`, `starnet predict`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
console = Console()
errors = Console(stderr=True)


def main() -> None:
    """Run the command line; every error becomes a sentence, and the exit code tells."""
    try:
        app()
    except TrainingInterrupted as stop:
        errors.print(f"[bold yellow]starnet:[/] {_plain(str(stop))}", soft_wrap=True)
        sys.exit(INTERRUPTED)
    except StarNetError as error:
        errors.print(f"[bold red]starnet:[/] {_plain(str(error))}", soft_wrap=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        errors.print(
            "[bold yellow]starnet:[/] stopped. What was saved is kept; give the same command again."
        )
        sys.exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("STARNET_DEBUG"):
            raise
        errors.print(
            f"[bold red]starnet:[/] this should not have happened ({type(error).__name__}: "
            f"{_plain(str(error))}). Please report it, with what STARNET_DEBUG=1 adds to this.",
            soft_wrap=True,
        )
        sys.exit(2)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _use_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take the values of a YAML file as defaults of the flags."""
    if path is None:
        return None
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}.") from error
    known = {p.name for p in context.command.params}
    if not isinstance(values, dict) or (strange := set(values) - known - {"command", "versions"}):
        what = ", ".join(sorted(strange)) if isinstance(values, dict) else "no names"
        raise ConfigError(
            f"{path} has settings that `{context.command_path}` does not know: {what}. "
            f"It knows {', '.join(sorted(filter(None, known)))}."
        )
    flat = {k: v for k, v in values.items() if k in known and k != "config"}
    context.default_map = {**(context.default_map or {}), **flat}
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=_use_config,
        is_eager=True,
        help="YAML file with values for these flags; flags on the command line win.",
        dir_okay=False,
    ),
]


def save_config(context: typer.Context, path: Path) -> Path:
    """Write the flags of a command as they took effect, as YAML for ``--config``."""
    values = {k: _yaml(v) for k, v in context.params.items() if k != "config" and v is not None}
    text = {"command": context.command_path, "versions": {"starnet": __version__}, **values}
    return write_text(path, yaml.safe_dump(text, sort_keys=False), "The configuration")


def _yaml(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_yaml(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the terminal; gives a function to call with (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=errors) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(table: Any, title: str = "") -> None:
    """Print an astropy table."""
    shown = RichTable(title=title, title_justify="left", title_style="bold")
    for name in table.colnames:
        shown.add_column(name, justify="left" if table[name].dtype.kind in "US" else "right")
    for row in table:
        shown.add_row(*(_cell(row[name]) for name in table.colnames))
    console.print(shown)


def _cell(value: Any) -> str:
    return _plain(str(value)) if isinstance(value, str) else f"{value:.4g}"


def words(text: str | None) -> tuple[str, ...]:
    """A comma-separated flag as a tuple; empty for none."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
