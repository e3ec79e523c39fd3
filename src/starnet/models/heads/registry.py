"""Heads by kind, so that a model with a head is rebuilt from settings alone.

Contract, tested for every kind: a head is built from the width of the hidden features, the number
of labels and its own settings; it takes hidden features (B, H) to a distribution of batch shape
(B,) and event shape (L,) over scaled labels, which has ``log_prob``, ``sample`` and ``mean``; the
mean has a gradient to every parameter; a head survives a round trip through its state.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.distributions import Distribution

from starnet.errors import ConfigError

H = TypeVar("H", bound=type["Head"])


class Head(nn.Module, ABC):
    """Takes hidden features to a distribution over scaled labels; see the module's contract."""

    @abstractmethod
    def forward(self, hidden: Tensor) -> Distribution:
        """Distribution, batch (B,) and event (L,), of hidden features (B, H)."""


_KINDS: dict[str, Callable[..., Head]] = {}


def register_head(kind: str) -> Callable[[H], H]:
    """Class decorator: makes a head known under ``kind``."""

    def add(head: H) -> H:
        _KINDS[kind] = head
        return head

    return add


def head_kinds() -> tuple[str, ...]:
    """All kinds of heads."""
    return tuple(sorted(_KINDS))


def head_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a head with its defaults filled in, as JSON holds them.

    Raises
    ------
    ConfigError
        If the kind or a setting is unknown.
    """
    values = {k: v for k, v in settings.items() if k != "kind"}
    kind = settings.get("kind")
    if kind not in _KINDS:
        raise ConfigError(f"A head needs a kind, of {', '.join(head_kinds())}; received {kind!r}.")
    parameters = inspect.signature(_KINDS[kind]).parameters.values()
    known = {p.name: p.default for p in parameters if p.default is not p.empty}
    if strange := sorted(set(values) - set(known)):
        raise ConfigError(
            f"The head {kind!r} has no setting {', '.join(map(repr, strange))}; it has "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return json.loads(json.dumps({"kind": kind, **known, **values}))


def build_head(settings: Mapping[str, Any], width: int, n_labels: int) -> Head:
    """A new head.

    Parameters
    ----------
    settings : mapping
        Its ``kind``, and what the kind takes.
    width : int
        H, number of hidden features.
    n_labels : int
        L.

    Raises
    ------
    ConfigError
        If the kind or a setting is unknown or wrong.
    MissingDependencyError
        If the kind needs a package that is not installed.
    """
    values = head_settings(settings)
    return _KINDS[values.pop("kind")](width, n_labels, **values)


def positive(name: str, value: Any) -> int:
    """The setting, which must be a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number above 0; received {value!r}.")
    return value
