"""`starnet info`: what is installed, and what a model, data set or spectrum is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from starnet._version import __version__
from starnet.cli._app import app, console
from starnet.errors import ReadError


@app.command()
def info(
    path: Annotated[
        Path | None, typer.Argument(help="A model folder, a data set, or a spectrum file.")
    ] = None,
) -> None:
    """Describe this installation, or a model, a data set or a spectrum file."""
    if path is None:
        _print(_installation(), "StarNet")
    elif not path.exists():
        raise ReadError(f"There is no {path}. Give a model folder, a data set or a spectrum file.")
    elif (path / "model.json").is_file():
        _print(_model(path), f"model {path}")
    elif path.is_dir() and (path / "zarr.json").is_file():
        from starnet.dataset import open_dataset

        _print(_flat(open_dataset(path).summary()), f"data set {path}")
    elif path.is_dir():
        _print(_folder(path), f"folder {path}")
    else:
        _print(_spectrum(path), f"spectrum {path}")


def _installation() -> dict[str, Any]:
    import torch

    from starnet.models import families
    from starnet.surveys import SURVEYS
    from starnet.training import recipe_names

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "version": __version__,
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads, GPU: {gpu}",
        "reads": ", ".join(SURVEYS),
        "recipes": ", ".join(recipe_names()),
        "networks": ", ".join(families()),
    }


def _model(path: Path) -> dict[str, Any]:
    from starnet.artifact import load_model
    from starnet.inference import Predictor

    about = Predictor(load_model(path)).describe()
    past = about.pop("provenance")
    about["labels"] = "\n".join(about["labels"])
    about["recipe"] = past.get("recipe", {}).get("name", "unknown")
    for what in ("spectra", "stars"):
        counts = past.get(what, {})
        about[what] = ", ".join(f"{n} {part}" for part, n in counts.items())
    about["starnet version"] = past.get("starnet_version", "unknown")
    return about


def _folder(path: Path) -> dict[str, Any]:
    from collections import Counter

    from starnet.surveys import find, identify

    files = find(path)
    kinds = Counter(getattr(identify(file), "name", "not recognised") for file in files)
    return {"files": len(files), **dict(kinds.most_common())}


def _spectrum(path: Path) -> dict[str, Any]:
    from starnet.surveys import identify, read_file

    spectra = read_file(path)
    survey: Any = identify(path)
    return {
        "survey": survey.name if survey else "read by specutils",
        "spectra": len(spectra),
        "grid": spectra.grid.describe(),
        "chips": len(spectra.grid.chips),
        "frame": spectra.frame,
        "flux unit": str(spectra.flux_unit) or "dimensionless",
        "S/N": ", ".join(f"{snr:.0f}" for snr in spectra.snr[:5]),
        "masked": ", ".join(f"{part:.1%}" for part in spectra.masked_fraction[:5]),
        "id": ", ".join(spectra.ids[:3]),
    }


def _flat(about: dict[str, Any]) -> dict[str, Any]:
    """Nested values as lines of text."""
    out = {}
    for key, value in about.items():
        if isinstance(value, dict):
            lines = (f"{name}: {_short(item)}" for name, item in value.items())
            out[key] = "\n".join(lines)
        else:
            out[key] = _short(value)
    return out


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_short(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print(about: dict[str, Any], title: str) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="cyan")
    table.add_column()
    for key, value in about.items():
        table.add_row(str(key), str(value).replace("[", r"\["))
    console.print(table)
