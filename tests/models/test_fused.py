"""The compiled convolution against torch's own operations."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from starnet.models import StarNetConfig, _fused, _kernel, build_network, plain_operations

# Each shape is compiled once (about a second), so shapes come from a list and sizes are drawn.
SHAPES = [
    # channels, filters 1, filters 2, kernel, pool, same
    (1, 4, 16, 8, 4, False),
    (1, 4, 16, 8, 4, True),
    (2, 4, 16, 8, 4, True),
    (2, 3, 5, 3, 1, False),
    (1, 6, 24, 5, 3, True),
]


@pytest.fixture(scope="module", autouse=True)
def _compiler():
    if _kernel.load(_kernel.BlockShape(1, 4, 16, 8, 4)) is None:
        pytest.skip("no C compiler")


def made(shape, n, n_pixels, seed, *, exact=False):
    """Input and weights; ``exact`` draws short binary fractions, whose sums have no rounding."""
    c, f1, f2, k, _, _ = shape
    draw = torch.Generator().manual_seed(seed)
    sizes = [(n, c, n_pixels), (f1, c, k), (f1,), (f2, f1, k), (f2,)]
    scale = [1.0, 0.5, 0.2, 0.3, 0.2]
    tensors = [torch.randn(s, generator=draw) * a for s, a in zip(sizes, scale, strict=True)]
    if exact:
        tensors = [(4 * t).round().clamp(-8, 8) / 4 for t in tensors]
    return [t.requires_grad_() for t in tensors]


def block(tensors, shape, plain=False):
    if plain:
        with plain_operations():
            return _fused.conv_block(*tensors, pool=shape[4], same=shape[5])
    return _fused.conv_block(*tensors, pool=shape[4], same=shape[5])


def forget():
    _fused._trusted.cache_clear()
    _kernel.load.cache_clear()
    _kernel.say_once.cache_clear()


def is_compiled(out):
    return type(out.grad_fn).__name__ == "_ConvBlockBackward"


def gradients(out, tensors, g):
    return torch.autograd.grad(out, tensors, g)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 5), n_pixels=st.integers(18, 700), seed=st.integers(0, 2**31))
def test_values_and_gradients_are_equal_where_nothing_is_rounded(shape, n, n_pixels, seed):
    """With short binary fractions ties abound, and both ways must break them alike."""
    tensors = made(shape, n, n_pixels, seed, exact=True)
    ours, torchs = block(tensors, shape), block(tensors, shape, plain=True)
    assert is_compiled(ours)
    assert not is_compiled(torchs)
    assert torch.equal(ours, torchs)
    g = torch.randint(-4, 5, ours.shape, generator=torch.Generator().manual_seed(seed)) / 4
    found, wanted = gradients(ours, tensors, g), gradients(torchs, tensors, g)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_agree_to_rounding(shape):
    tensors = made(shape, 3, 1001, 5)
    ours, torchs = block(tensors, shape), block(tensors, shape, plain=True)
    torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-5)
    g = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
    found, wanted = gradients(ours, tensors, g), gradients(torchs, tensors, g)
    for a, b in zip(found, wanted, strict=True):
        # a near-tie in a pool may fall to another place: few may differ, and so the norm is judged
        assert (a - b).norm() <= 5e-3 * b.norm()


def test_ties_take_the_first_as_torch_does():
    shape = (1, 4, 16, 8, 4, False)
    tensors = made(shape, 2, 100, 0)
    with torch.no_grad():
        tensors[0].copy_(torch.ones(2, 1, 100))  # every position alike: each pool is a tie
    ours, torchs = block(tensors, shape), block(tensors, shape, plain=True)
    g = torch.randn_like(ours)
    for a, b in zip(gradients(ours, tensors, g), gradients(torchs, tensors, g), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_nan_goes_through_and_stays_in_its_spectrum():
    shape = (1, 4, 16, 8, 4, False)
    tensors = made(shape, 3, 100, 0)
    with torch.no_grad():
        tensors[0][1, 0, 40] = float("nan")
        ours, torchs = block(tensors, shape), block(tensors, shape, plain=True)
    torch.testing.assert_close(ours, torchs, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert torch.isnan(ours[1]).any()
    assert torch.isfinite(ours[[0, 2]]).all()


@pytest.mark.parametrize("wanted", [[0], [1], [3, 4], [0, 2]], ids=str)
def test_only_the_gradients_asked_for(wanted):
    shape = SHAPES[0]
    tensors = made(shape, 2, 90, 1)
    for i, t in enumerate(tensors):
        t.requires_grad_(i in wanted)
    ours, torchs = block(tensors, shape), block(tensors, shape, plain=True)
    g = torch.randn_like(ours)
    asked = [tensors[i] for i in wanted]
    for a, b in zip(gradients(ours, asked, g), gradients(torchs, asked, g), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_strided_input_and_gradient():
    shape = SHAPES[2]
    tensors = made(shape, 4, 90, 1)
    wide = torch.randn(90, 2, 8).permute(2, 1, 0)[::2]  # (4, 2, 90), far from contiguous
    strided = [wide, *tensors[1:]]
    dense = [wide.contiguous(), *tensors[1:]]
    g = torch.randn(1, 1, 16).expand(4, 22, 16)
    for a, b in zip(
        torch.autograd.grad(block(strided, shape), tensors[1:], g),
        torch.autograd.grad(block(dense, shape), tensors[1:], g),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_gradient_of_a_gradient():
    shape = SHAPES[0]

    def penalty(plain):
        tensors = made(shape, 2, 90, 1)
        out = block(tensors, shape, plain=plain)
        (dx,) = torch.autograd.grad(out.square().sum(), tensors[0], create_graph=True)
        return torch.autograd.grad(dx.square().sum(), tensors)

    for a, b in zip(penalty(False), penalty(True), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max().item())


def test_equal_calls_give_equal_bits():
    shape = SHAPES[0]
    tensors = made(shape, 9, 500, 1)
    first, second = block(tensors, shape), block(tensors, shape)
    assert torch.equal(first, second)
    g = torch.randn_like(first)
    for a, b in zip(gradients(first, tensors, g), gradients(second, tensors, g), strict=True):
        assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own jvp
def test_transforms_and_tracing_take_the_ordinary_way():
    shape = SHAPES[0]
    x, *weights = made(shape, 3, 90, 1)

    def labels(one):
        return block([one[None], *weights], shape)[0].sum()

    by_vmap = torch.func.vmap(torch.func.grad(labels))(x.detach())
    (by_block,) = torch.autograd.grad(block([x, *weights], shape).sum(), x)
    torch.testing.assert_close(by_vmap, by_block, rtol=1e-4, atol=1e-4)
    _, tangent = torch.func.jvp(labels, (x[0].detach(),), (torch.ones(1, 90),))
    torch.testing.assert_close(tangent, by_vmap[0].sum().detach(), rtol=1e-3, atol=1e-3)


def test_export_takes_the_ordinary_way_and_agrees():
    network = build_network(StarNetConfig(90, 2, dense=(8,)), seed=0).eval()
    x = torch.randn(3, 1, 90)
    program = torch.export.export(network, (x,))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("conv" in name for name in called), called
    torch.testing.assert_close(program.module()(x), network(x), rtol=1e-4, atol=1e-5)


def test_threads_of_python_do_not_meet():
    shape = SHAPES[0]
    inputs = [[t.detach() for t in made(shape, 4, 2000, seed)] for seed in range(4)]
    wanted = [block(tensors, shape) for tensors in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda tensors: block(tensors, shape), inputs * 5))
    for i, out in enumerate(found):
        assert torch.equal(out, wanted[i % 4])


def test_other_dtypes_and_the_switch(monkeypatch):
    shape = SHAPES[0]
    tensors = made(shape, 2, 90, 1)
    assert not is_compiled(block([t.double() for t in tensors], shape))
    assert is_compiled(block(tensors, shape))
    monkeypatch.setenv("STARNET_FUSED", "0")
    assert not is_compiled(block(tensors, shape))


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_one_sentence_and_the_same_numbers(monkeypatch, caplog, compiler):
    shape = SHAPES[0]
    tensors = made(shape, 2, 90, 1)
    wanted = block(tensors, shape)
    forget()
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", "/nonexistent")
    try:
        with caplog.at_level(logging.WARNING, logger="starnet.models"):
            first, second = block(tensors, shape), block(tensors, shape)
    finally:
        forget()
    assert not is_compiled(first)
    torch.testing.assert_close(first, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(second, wanted, rtol=1e-5, atol=1e-5)
    assert len(caplog.records) == 1
    assert "slower" in caplog.text


def test_wrong_code_is_not_trusted(monkeypatch, caplog):
    shape = SHAPES[0]
    tensors = made(shape, 2, 90, 1)
    forget()
    wrong = _kernel.load(_kernel.BlockShape(1, 4, 16, 8, 4, pad_left=1, pad_right=-1))
    monkeypatch.setattr(_kernel, "load", lambda shape: wrong)
    try:
        with caplog.at_level(logging.WARNING, logger="starnet.models"):
            assert not is_compiled(block(tensors, shape))
    finally:
        _fused._trusted.cache_clear()
        _kernel.say_once.cache_clear()
    assert "other numbers" in caplog.text


def test_a_library_is_kept_and_a_bad_folder_is_survived(monkeypatch, tmp_path):
    shape = _kernel.BlockShape(1, 2, 3, 2, 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _kernel.load.__wrapped__(shape) is not None
    (kept,) = (tmp_path / "starnet").iterdir()
    before = kept.stat().st_mtime_ns
    assert _kernel.load.__wrapped__(shape) is not None
    assert kept.stat().st_mtime_ns == before, "the second load must not compile"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert _kernel.load.__wrapped__(shape) is not None
