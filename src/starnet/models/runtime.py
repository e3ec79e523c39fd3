"""Running a network over many spectra, and keeping its memory between steps."""

from __future__ import annotations

import ctypes
import functools
import platform

import numpy as np
import torch
from torch import nn

# From malloc.h of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 1 << 30


@functools.cache
def keep_memory() -> bool:
    """Tells glibc to keep freed blocks of up to 1 GiB instead of returning them to the kernel.

    Without it every large activation and gradient is mapped, zeroed page by page and unmapped
    again in each step. Training and prediction call it; it does nothing where the C library is
    not glibc.

    Returns
    -------
    bool
        Whether the C library took the settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES), mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)]
    return all(taken)


def apply_network(
    network: nn.Module, inputs: np.ndarray, *, batch_size: int = 128, device: str = "cpu"
) -> np.ndarray:
    """Outputs of ``network`` for many spectra, in evaluation mode and without gradients.

    Parameters
    ----------
    network : nn.Module
        Already on ``device``.
    inputs : (N, C, P) array
        Taken as float32; it may be a memory map.
    batch_size : int
        Spectra at a time; it bounds the memory and changes the result by rounding at most.

    Returns
    -------
    (N, n_outputs) float32 array
    """
    keep_memory()
    was_training = network.training
    network.eval()
    parts = []
    try:
        with torch.inference_mode():
            for start in range(0, len(inputs), batch_size):
                rows = np.ascontiguousarray(inputs[start : start + batch_size], dtype=np.float32)
                if not rows.flags.writeable:
                    rows = rows.copy()  # torch warns of arrays it could write into
                parts.append(network(torch.from_numpy(rows).to(device)).cpu().numpy())
    finally:
        network.train(was_training)
    if not parts:
        with torch.inference_mode():
            empty = torch.zeros(1, *inputs.shape[1:], device=device)
            return network(empty)[:0].cpu().numpy()
    return np.concatenate(parts)
