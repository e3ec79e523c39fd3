"""What training reads: batches of arrays in an order fixed by seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from starnet.dataset import Batch
from starnet.errors import DataError


class Stream(Protocol):
    """Anything that yields every spectrum once per epoch.

    Equal arguments of `batches` shall give equal batches in equal order, also in another
    process: resuming bit for bit rests on it. What a stream yields shall have the attributes of
    `Batch`.
    """

    @property
    def n_spectra(self) -> int:
        """Spectra in one epoch."""
        ...

    def batches(self, batch_size: int, *, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; the last may be smaller."""
        ...


class ArrayStream:
    """A stream over arrays in memory (or memory maps).

    Parameters
    ----------
    inputs : (N, C, P) array
    targets : (N, L) array
        NaN where missing.
    weights, errors : (N, L) array, optional
        As in `Batch`.
    places : (N,) array, optional
        Where in ``inputs`` each of the N spectra is, if ``inputs`` holds more, or in another
        order, than ``targets``.
    shuffle : bool
        New order in every epoch; switch it off for validation.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None = None,
        *,
        errors: np.ndarray | None = None,
        places: np.ndarray | None = None,
        shuffle: bool = True,
    ) -> None:
        self.places = np.arange(len(inputs)) if places is None else np.asarray(places)
        if inputs.ndim != 3 or targets.ndim != 2 or len(self.places) != len(targets):
            raise DataError(
                "inputs must be (N, C, P) and targets (N, L) with the same N; "
                f"received {inputs.shape} and {targets.shape}."
            )
        for name, values in (("weights", weights), ("errors", errors)):
            if values is not None and values.shape != targets.shape:
                raise DataError(
                    f"{name} must have the shape of targets, {targets.shape}; "
                    f"received {values.shape}."
                )
        self.inputs, self.targets, self.weights, self.errors = inputs, targets, weights, errors
        self.shuffle = shuffle

    @property
    def n_spectra(self) -> int:
        """Spectra in one epoch."""
        return len(self.places)

    def batches(self, batch_size: int, *, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch."""
        n = self.n_spectra
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            weights = None if self.weights is None else _float32(self.weights[rows])
            errors = None if self.errors is None else _float32(self.errors[rows])
            inputs = self.inputs[self.places[rows]]
            yield Batch(_float32(inputs), _float32(self.targets[rows]), weights, errors)


def _float32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
