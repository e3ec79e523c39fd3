"""Batches to train on, read from disk in random order with flat memory.

Chunks are read in random order, some ahead of their use, and go through the transform; their
spectra wait in a buffer of a few thousand, from which batches are drawn at random. Order and
random numbers depend on the seed, the epoch and the chunk alone, so the same batches come
whatever the number of threads and however fast the disk is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet.dataset.store import SpectraDataset, by_chunk
from starnet.errors import ConfigError, DataError
from starnet.spectra import LabelScale, Spectra

Transform = Callable[[Spectra, np.random.Generator], Spectra]
BUFFER = 4096
"""Spectra among which batches are drawn: 118 MB at 7,214 pixels and one channel."""


class Batch(NamedTuple):
    """What a network is trained on in one step; the training loop takes it by its fields.

    Parameters
    ----------
    inputs : float32 array (B, C, P)
        Flux, and the mask (1 = bad) where it is a second channel.
    targets : float32 array (B, L)
        Scaled labels, NaN where missing.
    weights : float32 array (B, L) or None
        How much each label counts in the loss; None for all alike.
    errors : float32 array (B, L) or None
        Errors of the targets in units of scaled labels, 0 where unknown; None for no errors.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    weights: NDArray[Any] | None = None
    errors: NDArray[Any] | None = None


class SpectraStream:
    """Training batches from a data set on disk.

    Parameters
    ----------
    dataset : SpectraDataset
    rows : array, optional
        Rows to stream, each once an epoch. Default: all.
    transform : callable, optional
        Takes spectra and a random generator to spectra: preprocessing and augmentation. Without
        one the stored flux is streamed as it is.
    scale : LabelScale, optional
        Labels to stream, and how they are scaled. Default: all of the data set, as they are.
    mask_channel : bool
        Whether the mask is fed as a second channel.
    weights : array (len(rows),) or (len(rows), L), optional
        How much each of the rows counts in the loss, or each of their labels.
    errors : array (len(rows), L), optional
        Errors of the scaled labels, 0 where unknown.
    shuffle : bool
        Random order, another one each epoch; otherwise the order of the rows.
    buffer : int
        Spectra among which batches are drawn at random.
    workers : int
        Threads that read and transform ahead. 0 reads when a batch is asked for.

    Raises
    ------
    LabelError
        If the data set has no such label.
    DataError
        If a row is not there, or there is none.
    ConfigError
        If the shape of the weights does not fit.
    """

    def __init__(
        self,
        dataset: SpectraDataset,
        rows: ArrayLike | slice | None = None,
        *,
        transform: Transform | None = None,
        scale: LabelScale | None = None,
        mask_channel: bool = False,
        weights: ArrayLike | None = None,
        errors: ArrayLike | None = None,
        shuffle: bool = True,
        buffer: int = BUFFER,
        workers: int = 1,
    ) -> None:
        self.dataset = dataset
        self.rows = dataset.row_index(rows)
        if not self.rows.size:
            raise DataError(f"No rows of {dataset.path} were chosen to stream.")
        self.transform, self.mask_channel = transform, mask_channel
        self.shuffle, self.buffer, self.workers = shuffle, buffer, workers
        labels = dataset.labels if scale is None else dataset.labels.select(scale.names)
        values = labels.values[self.rows]
        self.targets = (values if scale is None else scale.forward(values)).astype(np.float32)
        self.weights = None if weights is None else _weights(weights, self.targets.shape)
        self.errors = None if errors is None else _weights(errors, self.targets.shape, "errors")

    @property
    def n_spectra(self) -> int:
        """Spectra in an epoch."""
        return self.rows.size

    def __len__(self) -> int:
        return self.n_spectra

    def batches(self, batch_size: int, *, seed: int = 0, epoch: int = 0) -> Iterator[Batch]:
        """One epoch: every row once, in batches; the last one may be smaller.

        Parameters
        ----------
        batch_size : int
        seed, epoch : int
            The same two make the same batches.

        Raises
        ------
        ConfigError
            If the batch size is not positive.
        DataError
            If the data set is damaged.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1; received {batch_size}.")
        rng = np.random.default_rng((seed, epoch, 0))
        blocks = self._blocks(rng)
        largest = max(block.size for block in blocks)
        capacity = max(self.buffer if self.shuffle else 0, batch_size + largest)
        pool = _Pool(min(capacity, self.n_spectra), rng if self.shuffle else None)

        def prepare(number: int) -> tuple[NDArray[Any], NDArray[Any]]:
            own = np.random.default_rng((seed, epoch, 1, number))
            return blocks[number], self._inputs(self.rows[blocks[number]], own)

        for which, inputs in _ahead(prepare, range(len(blocks)), self.workers):
            while pool.room < which.size:
                yield self._batch(*pool.draw(batch_size))
            pool.put(which, inputs)
        while pool.filled:
            yield self._batch(*pool.draw(batch_size))

    def _batch(self, which: NDArray[Any], inputs: NDArray[Any]) -> Batch:
        weights = None if self.weights is None else self.weights[which]
        errors = None if self.errors is None else self.errors[which]
        return Batch(inputs, self.targets[which], weights, errors)

    def _blocks(self, rng: np.random.Generator) -> list[NDArray[Any]]:
        """Positions among the rows that are read together: a chunk's, in random order of chunks."""
        size = self.dataset.chunk_rows
        if not self.shuffle:
            return [np.arange(i, min(i + size, self.n_spectra)) for i in range(0, len(self), size)]
        order = np.argsort(self.rows, kind="stable")
        parts = [order[part] for _, part in by_chunk(self.rows[order], size)]
        return [parts[i] for i in rng.permutation(len(parts))]

    def _inputs(self, rows: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Network inputs of some rows, shape (n, C, P)."""
        if self.transform is None:
            flux = self.dataset.read_array("flux", rows)
            mask = self.dataset.read_array("mask", rows) if self.mask_channel else None
        else:
            spectra = self.transform(self.dataset.read(rows), rng)
            if len(spectra) != rows.size:
                raise DataError(
                    f"A transform must keep every spectrum; {rows.size} went in and "
                    f"{len(spectra)} came out."
                )
            flux, mask = spectra.flux, spectra.mask if self.mask_channel else None
        if mask is None:
            return np.asarray(flux, dtype=np.float32)[:, None, :]
        return np.stack([flux, mask.astype(np.float32)], axis=1)


class _Pool:
    """Spectra that wait for their batch, in slots that are used again and again."""

    def __init__(self, capacity: int, rng: np.random.Generator | None) -> None:
        self._rng = rng
        self._which = np.empty(capacity, dtype=np.int64)
        self._inputs: NDArray[Any] | None = None
        self._free = np.arange(capacity)
        self._used = np.arange(0)  # oldest first

    @property
    def room(self) -> int:
        """Free slots."""
        return self._free.size

    @property
    def filled(self) -> int:
        """Spectra that wait."""
        return self._used.size

    def put(self, which: NDArray[Any], inputs: NDArray[Any]) -> None:
        if self._inputs is None:
            self._inputs = np.empty((self._which.size, *inputs.shape[1:]), dtype=np.float32)
        slots, self._free = self._free[: which.size], self._free[which.size :]
        self._which[slots], self._inputs[slots] = which, inputs
        self._used = np.concatenate([self._used, slots])

    def draw(self, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Up to n spectra: at random, or the oldest."""
        assert self._inputs is not None
        n = min(n, self.filled)
        if self._rng is None:
            chosen = np.arange(n)
        else:
            chosen = self._rng.choice(self.filled, size=n, replace=False)
        slots = self._used[chosen]
        self._used = np.delete(self._used, chosen)
        self._free = np.concatenate([self._free, slots])
        return self._which[slots], self._inputs[slots]


def _ahead(function: Callable[[int], Any], items: Iterable[int], workers: int) -> Iterator[Any]:
    """Results of a function in the order of the items, some of them computed ahead in threads."""
    if workers <= 0:
        yield from map(function, items)
        return
    todo = iter(items)
    threads = ThreadPoolExecutor(workers, thread_name_prefix="starnet-stream")
    waiting: deque[Future[Any]] = deque()
    try:
        waiting.extend(threads.submit(function, item) for item in islice(todo, workers + 1))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(threads.submit(function, item) for item in islice(todo, 1))
            yield result
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _weights(
    weights: ArrayLike, shape: tuple[int, ...], name: str = "weights"
) -> NDArray[np.float32]:
    """A weight for each label of each row."""
    found = np.asarray(weights, dtype=np.float32)
    if found.shape not in (shape, shape[:1]):
        raise ConfigError(
            f"{name} must be one for each of {shape[0]} rows, or for each of their {shape[1]} "
            f"labels; received shape {found.shape}."
        )
    return np.broadcast_to(found.reshape(shape[0], -1), shape)
