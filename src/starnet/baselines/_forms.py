"""Chi-square of many stars at once as PyTorch computes it, from what `Components.see` keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from starnet.baselines.components import Components, Seen
from starnet.spectra import Spectra


@dataclass(frozen=True, eq=False)
class Forms:
    """Chi-square of N stars as a quadratic form in K coefficients: see `Seen`.

    Attributes
    ----------
    gram, right, least : Tensor (N, K, K), (N, K), (N,)
    pixels : Tensor (N,)
        Pixels that count.
    """

    gram: Tensor
    right: Tensor
    least: Tensor
    pixels: Tensor

    @classmethod
    def of(cls, components: Components, spectra: Spectra) -> Forms:
        """What chi-square needs of each star, float32: K**2 numbers, whatever its pixels."""
        parts = [_plain(seen) for _, seen in components.see(spectra)]
        return cls(*(torch.as_tensor(np.concatenate(p)) for p in zip(*parts, strict=True)))

    @classmethod
    def of_seen(cls, seen: Seen) -> Forms:
        """Of one block."""
        return cls(*(torch.as_tensor(part) for part in _plain(seen)))

    def chi2(self, value: Tensor) -> Tensor:
        """Of coefficients (..., N, K)."""
        seen = (self.gram @ value[..., None])[..., 0]
        return (self.least + (value * (seen - 2 * self.right)).sum(-1)).clamp_min(0)

    def __getitem__(self, rows: Tensor) -> Forms:
        return Forms(self.gram[rows], self.right[rows], self.least[rows], self.pixels[rows])


def _plain(seen: Seen) -> tuple[np.ndarray, ...]:
    form = (part.astype(np.float32) for part in (seen.normal, seen.side, seen.least))
    return *form, seen.pixels
