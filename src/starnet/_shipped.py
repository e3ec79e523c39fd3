"""Settings that come with the package by name, or from a user's YAML file."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from starnet.errors import ConfigError

SHIPPED = Path(str(resources.files("starnet"))) / "shipped"
"""Where trained models and emulators of the package lie, each kind in a folder."""


def shipped_folders(kind: str) -> dict[str, Path]:
    """Folders of what comes with the package, by name: "models" or "emulators"."""
    found = sorted((SHIPPED / kind).glob("*/model.json"))
    return {path.parent.name: path.parent for path in found}


def shipped_names(folder: Traversable) -> list[str]:
    """Names of the YAML files in a folder of the package."""
    files = (f.name for f in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def read_settings(
    name_or_path: str | Path, folder: Traversable, kind: str
) -> tuple[dict[str, Any], Path | None]:
    """The settings, and the user's file if they come from one.

    Parameters
    ----------
    name_or_path : str or Path
        What ends in ``.yaml`` or ``.yml`` is a path, anything else a name.
    folder : Traversable
        Of the package, where the named ones lie.
    kind : str
        What they are, for messages: "recipe".

    Raises
    ------
    ConfigError
        If there is none of that name and no such file, or it is no mapping in YAML.
    """
    path = Path(name_or_path)
    own = path.suffix in (".yaml", ".yml")
    source = path if own else folder / f"{name_or_path}.yaml"
    if not source.is_file():
        raise ConfigError(
            f"There is no {kind} {str(name_or_path)!r}; the package has "
            f"{', '.join(shipped_names(folder))}. A {kind} of your own is a YAML file: give its "
            "path."
        )
    try:
        data = yaml.safe_load(source.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{source} cannot be read as YAML: {error}.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{source} must hold settings with names, as a {kind} does.")
    return data, path if own else None
