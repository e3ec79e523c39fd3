"""In which pixels a label may act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError, LabelError
from starnet.spectra import WavelengthGrid

Array = NDArray[Any]
Windows = tuple[tuple[float, float], ...]


def plain_windows(censor: Mapping[str, Any]) -> dict[str, Windows]:
    """The same as tuples of numbers.

    Raises
    ------
    ConfigError
        If a window is not two wavelengths, the lower first.
    """
    try:
        plain = {k: tuple((float(a), float(b)) for a, b in v) for k, v in dict(censor).items()}
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "censor must map a label to its windows, each a lower and an upper wavelength in "
            f"Angstrom; received {censor!r}."
        ) from error
    if wrong := [f"{k} {v}" for k, v in plain.items() if not v or any(a >= b for a, b in v)]:
        raise ConfigError(
            "Each label in censor needs windows whose first wavelength is the lower; received "
            f"{wrong[0]}."
        )
    return plain


def allowed_labels(
    censor: Mapping[str, Windows], names: Sequence[str], grid: WavelengthGrid
) -> Array | None:
    """Labels (P, L) that may act in each pixel; None if all may everywhere.

    Raises
    ------
    LabelError
        If there is no such label.
    ConfigError
        If the windows of a label hold no pixel.
    """
    if not censor:
        return None
    wave = grid.wavelength
    allowed = np.ones((len(wave), len(names)), dtype=bool)
    for name, windows in censor.items():
        if name not in names:
            raise LabelError(
                f"censor names the label {name!r}; there are {', '.join(names)}. Leave it out."
            )
        inside = np.any([(wave >= low) & (wave <= high) for low, high in windows], axis=0)
        if not inside.any():
            raise ConfigError(
                f"No pixel lies in the windows of {name} in censor; the spectra cover "
                f"{grid.describe()}."
            )
        allowed[:, list(names).index(name)] = inside
    return allowed
