"""Parts of a loop side by side, on the cores that there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def in_threads(work: Callable[[int], None], parts: Sequence[int]) -> None:
    """Do ``work`` for each part; numpy's inner loops run side by side.

    ``OMP_NUM_THREADS``, where it is set, is the most threads at a time. The parts must not write
    to the same place.
    """
    from starnet.library.pools import cores

    asked = os.environ.get("OMP_NUM_THREADS", "")
    most = min(cores(), int(asked)) if asked.isdecimal() else cores()
    if min(most, len(parts)) <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(most) as pool:
        for job in [pool.submit(work, part) for part in parts]:
            job.result()
