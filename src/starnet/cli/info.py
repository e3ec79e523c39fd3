"""`starnet info`: what is installed, and what a model, data set or spectrum is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from starnet._version import __version__
from starnet.cli._app import app, console
from starnet.errors import ReadError
from starnet.spectra import WavelengthGrid, label_spec


@app.command()
def info(
    what: Annotated[
        str,
        typer.Argument(
            help="A model or an emulator (by name or folder), a data set, or a spectrum file."
        ),
    ] = "",
) -> None:
    """Describe this installation, or a model, an emulator, a data set or a spectrum file.

    Without an argument it lists what the package comes with. Where a model and an emulator share
    a name both are shown.
    """
    if not what:
        _print(_installation(), "StarNet")
        _print(_shipped(), "models and emulators of the package")
        return
    named = _named(what)
    for kind, folder in named:
        _print(_trained(folder), f"{kind} {what}")
    if named:
        return
    path = Path(what)
    if not path.exists():
        raise ReadError(
            f"There is no {what}. Give a model or an emulator by name ({', '.join(_names())}) or "
            "folder, a data set or a spectrum file."
        )
    if (path / "model.json").is_file():
        kind = "emulator" if _is_emulator(path) else "model"
        _print(_trained(path), f"{kind} {path}")
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


def _named(name: str) -> list[tuple[str, Path]]:
    """Kind and folder of what the package has under a name."""
    from starnet._shipped import shipped_folders

    kinds = (("model", "models"), ("emulator", "emulators"))
    found = ((kind, shipped_folders(plural).get(name)) for kind, plural in kinds)
    return [(kind, folder) for kind, folder in found if folder is not None]


def _names() -> list[str]:
    from starnet._shipped import shipped_folders

    return sorted({*shipped_folders("models"), *shipped_folders("emulators")})


def _shipped() -> dict[str, Any]:
    """A line for each model and emulator of the package."""
    lines = {}
    for name in _names():
        for kind, folder in _named(name):
            about = json.loads((folder / "model.json").read_text())
            labels = about["labels"]
            names = labels.get("bounds", labels) if kind == "emulator" else labels
            grid = WavelengthGrid.from_dict(about["grid" if kind == "emulator" else "input_grid"])
            lines[f"{kind} {name}"] = f"{len(names)} labels, {grid.describe()}"
    return lines or {"none": "this installation has no trained models"}


def _is_emulator(folder: Path) -> bool:
    try:
        return json.loads((folder / "model.json").read_text()).get("format") == "starnet-emulator"
    except (OSError, ValueError, AttributeError):
        return False  # load_model says what is wrong


def _trained(folder: Path) -> dict[str, Any]:
    return _emulator(folder) if _is_emulator(folder) else _model(folder)


def _emulator(folder: Path) -> dict[str, Any]:
    from starnet.synthesis.emulator import Emulator

    emulator = Emulator.load(folder)
    hull = emulator.hull
    rows = zip(hull.names, hull.low, hull.high, strict=True)
    return {
        "name": emulator.title,
        "labels": "\n".join(
            f"{n} [{label_spec(n).unit}] {low:.5g} to {high:.5g}" for n, low, high in rows
        ),
        "makes": f"{emulator.grid.describe()}, at rest",
        **_card(emulator.card),
    }


def _card(card: Any) -> dict[str, str]:
    """A model card as lines: nested values and tables one line for each entry."""
    lines = {}
    for key, value in dict(card or {}).items():
        title = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            lines[title] = "\n".join(f"{name}: {_short(item)}" for name, item in value.items())
        elif isinstance(value, list | tuple):
            lines[title] = "\n".join(_short(item) for item in value)
        else:
            lines[title] = _short(value)
    return lines


def _model(path: Path) -> dict[str, Any]:
    from starnet.artifact import load_model
    from starnet.inference import Predictor

    about = Predictor(load_model(path)).describe()
    past = about.pop("provenance")
    about["labels"] = "\n".join(about["labels"])
    card = _card(past.get("card"))
    about |= {key: text for key, text in card.items() if key != "bounds" or not about["labels"]}
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
