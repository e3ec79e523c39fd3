"""Settings of a training run; a frozen value that survives a round trip through JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

from starnet.errors import ConfigError

OptimizerName = Literal["adam", "adamw"]
ScheduleName = Literal["plateau", "onecycle", "cosine", "constant"]
LossName = Literal["mse", "huber", "mae", "cauchy", "likelihood"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are those of Fabbro et al. 2018.

    Attributes
    ----------
    optimizer : {"adam", "adamw"}
        AdamW decays weights apart from the gradient (arXiv 1711.05101).
    lr : float
        Learning rate; the highest one under "onecycle", the first one otherwise.
    weight_decay : float
        Strength of the decay.
    batch_size, epochs : int
        Spectra per step, and passes over the training set at most.
    schedule : {"plateau", "onecycle", "cosine", "constant"}
        "plateau" multiplies the rate by ``plateau_factor`` after ``plateau_patience``
        epochs without progress, down to ``lr_floor``; "cosine" falls to ``lr_floor`` over all
        epochs; "onecycle" rises for the fraction ``warmup`` of all steps and falls for the rest.
    patience : int or None
        Epochs without progress (of ``min_delta``) until training stops; None never stops early.
    loss : {"mse", "huber", "mae", "cauchy", "likelihood"}
        On scaled labels; missing ones (NaN) do not count. "cauchy", log(1 + (r / scale)**2),
        all but forgets labels that are plainly wrong. "likelihood" is for networks that give a
        distribution (family ``headed``): the negative log density of the labels.
    label_errors : bool
        With "likelihood": take the labels' own errors into account, where the data set has them.
        The distribution is then that of the label itself, not of what a table says of it.
    temper : float
        With "likelihood": stars of large errors count by up to sigma**(2 temper) more at first,
        which falls to nothing at half of the epochs (Seitzer et al. 2022, arXiv:2203.09168).
    huber_delta : float
        Where the Huber loss turns from square to straight.
    cauchy_scale : float
        Residual beyond which the Cauchy loss flattens.
    warmup : float
        Fraction of all steps in which the rate of "onecycle" rises.
    clip_norm : float or None
        Longest gradient allowed.
    ema : float or None
        Decay of a moving average of the weights, for example 0.999. The average is then what is
        validated and kept.
    restore_best : bool
        End with the weights of the best epoch instead of the last.
    seed : int
        Order of the spectra and dropout.
    device : {"auto", "cpu", "cuda"}
        "auto" takes a GPU where there is one.
    checkpoint_minutes : float
        Time between checkpoints within an epoch; one is always made at the end of an epoch.
    """

    optimizer: OptimizerName = "adam"
    lr: float = 7e-4
    weight_decay: float = 0.0
    batch_size: int = 32
    epochs: int = 30
    schedule: ScheduleName = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 2
    lr_floor: float = 8e-5
    min_delta: float = 1e-4
    patience: int | None = 4
    loss: LossName = "mse"
    huber_delta: float = 1.0
    cauchy_scale: float = 0.2
    label_errors: bool = False
    temper: float = 0.5
    warmup: float = 0.3
    clip_norm: float | None = None
    ema: float | None = None
    restore_best: bool = True
    seed: int = 0
    device: DeviceName = "auto"
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} must be one of {', '.join(allowed)}; received {getattr(self, name)!r}."
                )
        for name in ("batch_size", "epochs"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number above 0; received {value!r}.")
        for name in ("lr", "plateau_factor", "huber_delta", "cauchy_scale", "checkpoint_minutes"):
            _require(name, getattr(self, name), above=0.0)
        for name in ("weight_decay", "lr_floor", "min_delta", "plateau_patience", "temper"):
            _require(name, getattr(self, name), least=0.0)
        if self.patience is not None:
            _require("patience", self.patience, least=0.0)
        if self.clip_norm is not None:
            _require("clip_norm", self.clip_norm, above=0.0)
        if self.label_errors and self.loss != "likelihood":
            raise ConfigError(
                f"label_errors needs loss 'likelihood' and a network with a head; received loss "
                f"{self.loss!r}."
            )
        if not 0 < self.warmup < 1:
            raise ConfigError(f"warmup must lie between 0 and 1; received {self.warmup!r}.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"ema must lie between 0 and 1; received {self.ema!r}.")

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-ready values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Settings from a mapping; what is absent keeps its default.

        Raises
        ------
        ConfigError
            When a name is unknown or a value is wrong.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if strange := sorted(set(values) - known):
            raise ConfigError(
                f"training has no setting {', '.join(map(repr, strange))}; "
                f"it has {', '.join(sorted(known))}."
            )
        return cls(**values)


_CHOICES = {
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "loss": get_args(LossName),
    "device": get_args(DeviceName),
}


def _require(
    name: str, value: Any, *, above: float | None = None, least: float | None = None
) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        not number
        or (above is not None and not value > above)
        or (least is not None and not value >= least)
    ):
        bound = f"above {above:g}" if above is not None else f"at least {least:g}"
        raise ConfigError(f"{name} must be a number {bound}; received {value!r}.")
