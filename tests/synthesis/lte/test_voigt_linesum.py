"""The Voigt function, and its sum over lines: compiled, in torch, and backwards."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import wofz
from torch import Tensor

from starnet.synthesis.lte import linesum
from starnet.synthesis.lte.linesum import sum_lines
from starnet.synthesis.lte.voigt import voigt, voigt_slopes

A = np.geomspace(1e-5, 30, 40)[:, None]
V = np.concatenate([-np.geomspace(1e-3, 400, 60), np.linspace(-16, 16, 161)])[None]
ROWS, LINES, PIXELS = 6, 40, 700


def exact(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    return wofz(v + 1j * a)


def test_voigt():
    h, el = voigt(torch.as_tensor(A), torch.as_tensor(V))
    w = exact(A, V)
    some = np.broadcast_to((A > 1e-3) & (A < 1), h.shape)
    assert np.abs(h.numpy() / w.real - 1)[some].max() < 8e-4
    assert np.abs(h.numpy() - w.real).max() < 5e-5
    assert (h > 0).all()
    near = np.broadcast_to(np.abs(V) < 15, el.shape)
    assert np.abs(el.numpy() - w.imag)[near].max() < 3e-4


def test_voigt_in_the_core_is_as_good_as_single_precision():
    inside = np.abs(V) < 5.5
    v = V[inside][None]
    h, _ = voigt(torch.as_tensor(A), torch.as_tensor(v))
    assert np.abs(h.numpy() - exact(A, v).real).max() < 2e-7


def test_slopes():
    """w'(z) = -2 z w(z) + 2 i / sqrt(pi); by a it is i w'."""
    _, by_a, by_v = voigt_slopes(torch.as_tensor(A), torch.as_tensor(V))
    slope = -2 * (V + 1j * A) * exact(A, V) + 2j / np.sqrt(np.pi)
    assert np.abs(by_v.numpy() - slope.real).max() < 3e-3
    assert np.abs(by_a.numpy() - (1j * slope).real).max() < 3e-3


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to the sum."""
    if request.param == "torch":
        monkeypatch.setenv("STARNET_FUSED", "0")
    elif not linesum.is_compiled():
        pytest.skip("there is no C compiler")
    return request.param


def case(seed: int = 0) -> tuple[list[Tensor], dict]:
    """Amplitudes, dampings, widths, centres, cells and levels; lines beyond both ends too."""
    r = np.random.default_rng(seed)
    shape = (ROWS, LINES)
    values = (
        10 ** r.uniform(-5, 3, shape),
        10 ** r.uniform(-4, 0.5, shape),
        r.uniform(1, 5, shape),
    )
    tensors = [torch.tensor(x, dtype=torch.float32) for x in values]
    centre = torch.tensor(np.sort(r.uniform(-30, PIXELS + 30, LINES)))
    cell = torch.tensor(r.integers(0, 3, LINES), dtype=torch.int32)
    level = torch.full((ROWS, 3), 1e-3)
    return [*tensors, centre, cell, level], {"reach": 150, "n_pixels": PIXELS}


def by_hand(parts: list[Tensor], reach: int = 150) -> np.ndarray:
    amplitude, damping, width, centre, cell, level = (x.double().numpy() for x in parts)
    distance = np.arange(PIXELS) - centre[:, None]
    v = distance / width[..., None]
    profiles = amplitude[..., None] * exact(damping[..., None], v).real
    floor = level[:, cell.astype(int)][..., None]
    # where a profile is cut: in its core a little farther than in its wing
    ratio = amplitude[..., None] / floor
    core = np.sqrt(np.log(np.maximum(ratio, 1))) + 0.5
    wing = np.sqrt(ratio * damping[..., None] / np.sqrt(np.pi))
    inside = (np.abs(v) <= np.maximum(core, wing)) & (np.abs(distance) <= reach) & (ratio > 1)
    return (profiles * inside).sum(axis=1)


def test_the_sum_by_hand(way: str):
    parts, settings = case()
    got = sum_lines(*parts, **settings).numpy()
    expected = by_hand(parts)
    assert np.abs(got - expected).max() < 1e-3 * expected.max()
    assert np.median(np.abs(got - expected) / (expected + 1e-2)) < 1e-4


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch):
    if not linesum.is_compiled():
        pytest.skip("there is no C compiler")
    parts, settings = case(1)
    ways = []
    for fused in ("1", "0"):
        monkeypatch.setenv("STARNET_FUSED", fused)
        given = [x.clone().requires_grad_() for x in parts[:4]]
        out = sum_lines(*given, *parts[4:], **settings)
        out.backward(torch.linspace(-1, 1, out.numel()).reshape(out.shape))
        ways.append([out.detach(), *(x.grad for x in given)])
    for one, other in zip(*ways, strict=True):
        scale = one.abs().max()
        torch.testing.assert_close(one / scale, other / scale, atol=2e-5, rtol=2e-3)


def test_forward_and_backward_are_adjoint(way: str):
    """<y, J x> = <J' y, x> for random directions."""
    parts, settings = case(2)
    r = torch.Generator().manual_seed(3)
    steps = [torch.randn(x.shape, generator=r, dtype=torch.float64).to(x) * 1e-2 for x in parts[:4]]
    given = [x.clone().requires_grad_() for x in parts[:4]]
    out = sum_lines(*given, *parts[4:], **settings)
    weights = torch.randn(out.shape, generator=r) / out.detach().clamp(min=1e-2)
    out.backward(weights)
    backward = sum(float((x.grad.double() * s).sum()) for x, s in zip(given, steps, strict=True))
    with torch.autograd.forward_ad.dual_level():
        duals = [
            torch.autograd.forward_ad.make_dual(x, s) for x, s in zip(parts[:4], steps, strict=True)
        ]
        made = sum_lines(*duals, *parts[4:], **settings)
        tangent = torch.autograd.forward_ad.unpack_dual(made).tangent
    forward = float((tangent.double() * weights).sum())
    assert forward == pytest.approx(backward, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("which", [0, 1, 2, 3], ids=["amplitude", "damping", "width", "centre"])
def test_derivatives(way: str, which: int):
    """Against differences, with nothing cut off: where a line is cut has no derivative."""
    parts, settings = case(4)
    parts[5] = torch.full((ROWS, 3), 1e-12)
    parts[0], settings["reach"] = parts[0].clamp(min=0.1, max=10.0), 2 * PIXELS
    relative = 2e-3
    shift = torch.full_like(parts[which], 2e-2) if which == 3 else parts[which] * relative
    up, down = (
        sum_lines(*[x + s * shift if i == which else x for i, x in enumerate(parts)], **settings)
        for s in (1, -1)
    )
    with torch.autograd.forward_ad.dual_level():
        duals = list(parts)
        duals[which] = torch.autograd.forward_ad.make_dual(parts[which], shift)
        made = sum_lines(*duals, **settings)
        tangent = torch.autograd.forward_ad.unpack_dual(made).tangent
    difference = (up - down) / 2
    error = (difference - tangent).abs()
    assert error.max() < 0.02 * tangent.abs().max()
    assert error.mean() < 2e-3 * tangent.abs().mean() + 1e-6


def test_other_numbers_of_the_process_stay_as_they_are(way: str):
    """Libraries linked with -ffast-math turn subnormal numbers into zero everywhere."""
    parts, settings = case()
    sum_lines(*parts, **settings)
    assert np.float64(5e-324) * np.float64(1.0) > 0
    assert np.float32(1e-42) * np.float32(0.5) > 0


def test_weak_lines_are_left_out(way: str):
    parts, settings = case()
    parts[5] = torch.full((ROWS, 3), 1e5)
    assert float(sum_lines(*parts, **settings).abs().max()) == 0


def test_an_empty_list(way: str):
    parts, settings = case()
    none = [x[..., :0] for x in parts[:5]]
    assert float(sum_lines(*none, parts[5], **settings).abs().max()) == 0


def test_without_a_compiler_one_sentence_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    linesum._library.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger="starnet.synthesis"):
            parts, settings = case()
            sum_lines(*parts, **settings)
            sum_lines(*parts, **settings)
        assert len(caplog.messages) == 1
        assert "compiler" in caplog.messages[0]
        assert "slower" in caplog.messages[0]
    finally:
        linesum._library.cache_clear()
