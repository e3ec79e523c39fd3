"""Running networks over arrays of any kind."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from starnet.models import StarNetConfig, apply_network, build_network, keep_memory


def test_keep_memory_works_where_it_can():
    assert keep_memory() == (platform.libc_ver()[0] == "glibc")


@pytest.mark.parametrize("kind", ["float64", "read only", "strided", "memory map"])
def test_inputs_of_any_kind(kind, tmp_path):
    network = build_network(StarNetConfig(40, 2, dense=(8,)), seed=0)
    x = np.random.default_rng(0).normal(size=(6, 1, 40)).astype(np.float32)
    wanted = apply_network(network, x)
    given = x
    if kind == "float64":
        given = x.astype(float)
    elif kind == "read only":
        given = x.copy()
        given.flags.writeable = False
    elif kind == "strided":
        given = np.repeat(x, 2, axis=2)[..., ::2]
    else:
        np.save(tmp_path / "x.npy", x)
        given = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(apply_network(network, given), wanted)
