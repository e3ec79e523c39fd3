"""Stars spread evenly through a box of labels by Sobol's sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from starnet.errors import ConfigError
from starnet.library.sampler import BLOCK, Sampler, register

Array = NDArray[Any]
BITS = 30
_SEED = "rng" if tuple(int(v) for v in scipy.__version__.split(".")[:2]) >= (1, 15) else "seed"


@register
@dataclass(frozen=True, kw_only=True)
class SobolSampler(Sampler):
    """Every label by its rule, from a scrambled Sobol sequence (Sobol 1967; Owen 1998).

    The points fill the box more evenly than independent ones, in every projection on two labels
    too, and however many are taken. Those that are left once the atmospheres have had their say
    are as even within what remains.

    Parameters
    ----------
    labels : mapping of label to rule
        All labels, ``teff: [3800, 6800]`` and so on.
    single, seed
        See `Sampler`.
    """

    kind = "sobol"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.labels:
            raise ConfigError("The sampler 'sobol' needs labels, such as teff: [3800, 6800].")

    @property
    def own(self) -> tuple[str, ...]:
        return ()

    def candidates(self) -> Iterator[Array]:
        from scipy.stats import qmc

        rng: Any = {_SEED: np.random.default_rng(self.seed)}
        points = qmc.Sobol(1 + len(self.labels), scramble=True, bits=BITS, **rng)
        for _ in range(2**BITS // BLOCK):
            u = points.random(BLOCK) + 0.5 ** (BITS + 1)  # never 0, never 1
            yield self.filled({}, u)
