"""Networks by name, so that a saved model is rebuilt from JSON and never from foreign code.

A family is a name, a frozen configuration and a network class. Contract, tested for every
member: the network is built from its configuration alone and keeps it as ``.config``; ``forward``
takes float (B, C, P) and returns (B, n_outputs); the configuration has ``n_pixels``, ``n_labels``
and ``n_channels`` and survives a round trip through JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from starnet.errors import ConfigError, ModelError

N = TypeVar("N", bound=type[nn.Module])


@dataclasses.dataclass(frozen=True)
class Family:
    """A registered kind of network."""

    name: str
    config: type[Any]
    network: Callable[[Any], nn.Module]


_FAMILIES: dict[str, Family] = {}


def register(name: str, config: type[Any]) -> Callable[[N], N]:
    """Class decorator: makes a network known under ``name`` with its configuration class."""

    def add(network: N) -> N:
        _FAMILIES[name] = Family(name, config, network)
        return network

    return add


def families() -> tuple[str, ...]:
    """Names of all registered networks."""
    return tuple(sorted(_FAMILIES))


def config_to_dict(config: Any) -> dict[str, Any]:
    """A network configuration as JSON-ready values, with its family's name.

    Raises
    ------
    ModelError
        When the configuration belongs to no registered family.
    """
    for family in _FAMILIES.values():
        if type(config) is family.config:
            values = dataclasses.asdict(config)
            plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
            return {"family": family.name, **plain}
    raise ModelError(
        f"{type(config).__name__} is no network configuration; "
        f"registered are {', '.join(families())}."
    )


def config_from_dict(values: Mapping[str, Any]) -> Any:
    """The configuration that `config_to_dict` wrote.

    Raises
    ------
    ModelError
        When the family is unknown, or a field is unknown, missing or wrong.
    """
    name = values.get("family")
    if name not in _FAMILIES:
        raise ModelError(
            f"The network family {name!r} is unknown; this version of StarNet has "
            f"{', '.join(families())}. Was the model written by a newer version?"
        )
    family = _FAMILIES[name]
    known = {f.name for f in dataclasses.fields(family.config)}
    fields = {k: v for k, v in values.items() if k != "family"}
    if strange := sorted(set(fields) - known):
        raise ModelError(
            f"The network {name!r} has no setting {', '.join(map(repr, strange))}; "
            f"it has {', '.join(sorted(known))}."
        )
    try:
        return family.config(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        )
    except (TypeError, ConfigError) as error:
        raise ModelError(f"The settings of the network {name!r} do not fit: {error}") from error


def build_network(config: Any, *, seed: int | None = None) -> nn.Module:
    """A new network with fresh weights.

    Parameters
    ----------
    config : configuration or dict
        A registered configuration, or the dict that `config_to_dict` made of one.
    seed : int, optional
        Seed of the initial weights; the global generator is left as it was. Without it the
        global generator is used.
    """
    if isinstance(config, Mapping):
        config = config_from_dict(config)
    network = _FAMILIES[config_to_dict(config)["family"]].network
    if seed is None:
        return network(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(config)
