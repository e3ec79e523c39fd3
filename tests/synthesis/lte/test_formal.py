"""The compiled transfer against that in torch."""

import numpy as np
import pytest
import torch

from starnet.synthesis.lte import linesum
from starnet.synthesis.lte.formal import Nodes, Smooth, flux


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator):
    """Random sources, and opacities up to what overflows in powers of single precision."""
    if not linesum.is_compiled():
        pytest.skip("there is no C compiler")
    stars, depths, pixels = 2, 30, 777
    nodes = Nodes.between(np.linspace(0, 1, 9), np.linspace(0, 1, pixels), "cpu")
    parts = [torch.tensor(rng.uniform(0.5, 2, (stars, depths, 9))) for _ in range(3)]
    smooth = Smooth(parts[0] * 1e-8, parts[1], parts[2] * 1e-9)
    lines = torch.tensor(10 ** rng.uniform(-12, 6, (stars, depths, pixels)), dtype=torch.float32)
    turn = torch.tensor(np.geomspace(1e5, 1e9, depths)).expand(stars, -1)
    scale = torch.linspace(-6, 6, depths).expand(stars, -1)
    made = []
    for fused in ("1", "0"):
        monkeypatch.setenv("STARNET_FUSED", fused)
        with torch.no_grad():
            made.append(flux(lines, smooth, nodes, turn, scale))
    assert torch.isfinite(made[0]).all()
    torch.testing.assert_close(*made, rtol=1e-5, atol=2e-5)
