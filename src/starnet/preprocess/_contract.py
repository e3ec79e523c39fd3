"""What every transform shall do, the register that names them, and the pipeline of several."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from starnet.errors import ConfigError
from starnet.spectra import Frame, Spectra, WavelengthGrid

Array = NDArray[Any]
T = TypeVar("T", bound="type[Transform]")

TRANSFORMS: dict[str, type[Transform]] = {}
"""Every transform by its name, as it stands in a saved model."""


class Transform(ABC):
    """Spectra in, spectra out. Frozen, by name and parameters, so that a model can hold it.

    A transform shall

    - leave its input untouched and return a new batch with the same rows and metadata;
    - return the grid and frame that `output_grid` promises;
    - unmask no pixel, and never let the flux of a masked pixel reach another pixel;
    - carry the inverse variance: where flux is divided by c it is multiplied by c**2; an error
      that is unknown (inverse variance 0, unmasked) stays unknown. Only variances are carried:
      covariances between pixels, which interpolation and convolution bring about, are not;
    - never mix pixels of different chips. Pixels outside every chip belong to none: transforms
      that need neighbours (continuum, shift, resampling, convolution) mask them;
    - return a row that is masked throughout as such, without a warning;
    - draw random numbers only from the generator it is given, and only if ``random`` is true.
    """

    random: ClassVar[bool] = False
    """Whether it draws random numbers (augmentation), and so is for training only."""

    def __call__(self, spectra: Spectra, rng: np.random.Generator | None = None) -> Spectra:
        """The transformed spectra.

        Parameters
        ----------
        spectra : Spectra
            N spectra of P pixels.
        rng : numpy.random.Generator, optional
            Needed by random transforms, ignored by the others.

        Raises
        ------
        GridError, FrameError
            If the grid or the frame does not fit.
        ConfigError
            If the transform is random and there is no generator.
        """
        self.output_grid(spectra.grid, spectra.frame)
        if self.random and rng is None:
            raise ConfigError(
                f"{type(self).__name__} is random and needs a generator. Pass "
                "rng=np.random.default_rng(seed), or leave it out with Pipeline.deterministic()."
            )
        return self._apply(spectra, np.random.default_rng(0) if rng is None else rng)

    @abstractmethod
    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        """The work itself; grid and frame have been checked."""

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """Grid and frame that come out for those that go in, without any data.

        Raises
        ------
        GridError, FrameError
            If the grid or the frame does not fit.
        """
        return grid, frame

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description: ``{"transform": name, parameter: value, ...}``."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"transform": type(self).__name__, **{k: _encoded(v) for k, v in values.items()}}

    @staticmethod
    def from_dict(data: Mapping[str, Any] | str) -> Transform:
        """The inverse of `to_dict`, for any transform; a bare name means its defaults.

        Raises
        ------
        ConfigError
            If there is no transform of that name, or it has no such parameter.
        """
        if isinstance(data, str):
            data = {"transform": data}
        values = dict(data)
        name = values.pop("transform", None)
        if name not in TRANSFORMS:
            known = ", ".join(sorted(TRANSFORMS))
            raise ConfigError(f"There is no transform {name!r}; there are {known}.")
        cls = TRANSFORMS[name]
        allowed = [f.name for f in fields(cls)]  # type: ignore[arg-type]
        strange = [key for key in values if key not in allowed]
        if strange:
            raise ConfigError(
                f"{name} has no parameter {', '.join(strange)}; it has {', '.join(allowed)}."
            )
        return cls._decode(values)

    @classmethod
    def _decode(cls, values: dict[str, Any]) -> Transform:
        return cls(**values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transform) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))


def register(cls: T) -> T:
    """Class decorator: enter a transform by its class name."""
    TRANSFORMS[cls.__name__] = cls
    return cls


@register
@dataclass(frozen=True, eq=False)
class Pipeline(Transform):
    """Transforms one after another; itself a transform.

    Parameters
    ----------
    steps : sequence of Transform
        May be empty: the spectra then pass unchanged.
    """

    steps: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        steps = tuple(self.steps)
        for step in steps:
            if not isinstance(step, Transform):
                raise ConfigError(
                    f"The steps of a Pipeline are transforms; received {step!r}. Give instances, "
                    "such as ChipMedian(), or use Pipeline.from_dict for descriptions."
                )
        object.__setattr__(self, "steps", steps)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether any step is random."""
        return any(step.random for step in self.steps)

    def _apply(self, spectra: Spectra, rng: np.random.Generator) -> Spectra:
        for step in self.steps:
            spectra = step(spectra, rng)
        return spectra

    def output_grid(self, grid: WavelengthGrid, frame: Frame) -> tuple[WavelengthGrid, Frame]:
        """Grid and frame after the last step."""
        for step in self.steps:
            grid, frame = step.output_grid(grid, frame)
        return grid, frame

    def deterministic(self) -> Pipeline:
        """The pipeline without its random steps: what prediction uses."""
        steps = (s.deterministic() if isinstance(s, Pipeline) else s for s in self.steps)
        return Pipeline(tuple(step for step in steps if not step.random))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description of every step."""
        return {"transform": "Pipeline", "steps": [step.to_dict() for step in self.steps]}

    @classmethod
    def _decode(cls, values: dict[str, Any]) -> Pipeline:
        return cls(tuple(Transform.from_dict(step) for step in values.get("steps", ())))

    @staticmethod
    def from_dict(data: Mapping[str, Any] | str) -> Pipeline:
        """The inverse of `to_dict`; a single transform becomes a pipeline of one step."""
        made = Transform.from_dict(data)
        return made if isinstance(made, Pipeline) else Pipeline((made,))

    def __len__(self) -> int:
        return len(self.steps)


def _encoded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.to_dict() if hasattr(value, "to_dict") else value
