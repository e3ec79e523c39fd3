"""One contract for every kind of head, and likelihoods with missing labels and label errors."""

import copy
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch.distributions import Distribution

from starnet.errors import ConfigError, MissingDependencyError, ModelError
from starnet.models import heads
from starnet.models.heads import (
    build_head,
    components,
    equal_mixture,
    head_kinds,
    head_settings,
    label_log_prob,
    moved,
)

SETTINGS = [
    {"kind": "normal"},
    {"kind": "covariance"},
    {"kind": "mixture"},
    {"kind": "mixture", "n_components": 2, "full": False},
    {"kind": "flow", "transforms": 2, "nodes": [16], "bins": 4},
    {"kind": "flow", "transforms": 1, "nodes": [8], "passes": 2},
]
B, H, L = 6, 10, 3


def label(settings):
    return "-".join(str(v) for v in settings.values())


every_head = pytest.mark.parametrize("settings", SETTINGS, ids=label)
normals = pytest.mark.parametrize("settings", SETTINGS[:4], ids=label)


def built(settings, seed=0, n_labels=L, double=False):
    if settings["kind"] == "flow":
        pytest.importorskip("zuko")
    torch.manual_seed(seed)
    head = build_head(settings, H, n_labels)
    return head.double() if double else head


def hidden(double=False, n=B):
    made = torch.randn(n, H, generator=torch.Generator().manual_seed(1))
    return made.double() if double else made


def test_every_kind_has_examples():
    assert {s["kind"] for s in SETTINGS} == set(head_kinds())


@every_head
@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("n_labels", [1, L])
def test_it_gives_a_distribution(settings, double, n_labels):
    found = built(settings, double=double, n_labels=n_labels)(hidden(double))
    dtype = torch.float64 if double else torch.float32
    assert isinstance(found, Distribution)
    assert (found.batch_shape, found.event_shape) == ((B,), (n_labels,))
    assert found.mean.shape == (B, n_labels)
    assert found.sample((7,)).shape == (7, B, n_labels)
    density = found.log_prob(found.mean)
    assert density.shape == (B,)
    assert torch.isfinite(density).all()
    assert density.dtype == found.mean.dtype == found.sample().dtype == dtype


@every_head
def test_every_parameter_has_a_gradient(settings):
    head = built(settings)
    x = hidden().requires_grad_()
    found = head(x)
    (-label_log_prob(found, torch.randn(B, L)).mean() + found.mean.square().sum()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert torch.count_nonzero(parameter.grad) > 0, name
    assert torch.count_nonzero(x.grad) > 0


@every_head
def test_the_density_is_that_of_the_draws(settings):
    head = built(settings, n_labels=1, double=True)
    found = head(hidden(double=True, n=2))
    grid = torch.linspace(-20, 20, 16001).double()
    density = found.log_prob(grid[:, None, None].expand(-1, 2, 1)).exp()
    assert torch.trapezoid(density, grid, dim=0).tolist() == pytest.approx([1, 1], abs=1e-2)
    drawn = found.sample((20_000,))[..., 0]
    middle = torch.trapezoid(density * grid[:, None], grid, dim=0)
    assert torch.allclose(drawn.mean(dim=0), middle, atol=0.06)
    assert torch.allclose(found.mean[:, 0], middle, atol=0.1)


@every_head
def test_it_survives_a_round_trip(settings):
    first, second = built(settings, seed=1), built(settings, seed=2)
    y = torch.randn(B, L)
    assert not torch.equal(first(hidden()).log_prob(y), second(hidden()).log_prob(y))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(hidden()).log_prob(y), second(hidden()).log_prob(y))
    assert torch.equal(copy.deepcopy(first)(hidden()).mean, first(hidden()).mean)
    assert type(first).__name__ in repr(first)


@every_head
def test_settings_survive_json(settings):
    whole = head_settings(settings)
    assert head_settings(whole) == whole
    assert whole.items() >= settings.items()


@every_head
def test_a_moved_distribution(settings):
    found = built(settings, double=True)(hidden(double=True))
    shift, factor = torch.randn(2, B, L).double()
    factor = factor.abs() + 0.1
    there = moved(found, shift, factor)
    y = torch.randn(B, L).double()
    wanted = found.log_prob(y) - factor.log().sum(dim=1)
    assert torch.allclose(there.log_prob(shift + factor * y), wanted)
    assert torch.allclose(there.mean, shift + factor * found.mean)


@normals
def test_missing_labels_are_integrated_out(settings):
    found = built(settings, double=True)(hidden(double=True))
    y = torch.randn(B, L).double()
    y[0, 1], y[1], y[2, :2] = torch.nan, torch.nan, torch.nan
    density = label_log_prob(found, y)
    weights, means, lower = (np.asarray(part.detach()) for part in components(found))
    for i in range(B):
        there = np.isfinite(y[i].numpy())
        each = [
            w
            + stats.multivariate_normal(
                m[there], (a @ a.T)[np.ix_(there, there)], allow_singular=True
            ).logpdf(y[i].numpy()[there])
            for w, m, a in zip(weights[i], means[i], lower[i], strict=True)
            if there.any()
        ]
        assert density[i].item() == pytest.approx(logsumexp(each) if each else 0.0, rel=1e-6)


@normals
def test_errors_of_labels_are_added_in_squares(settings):
    head = built(settings, double=True)
    found = head(hidden(double=True))
    y = found.mean.detach() + 0.15 * torch.randn(B, L)
    errors = 0.3 * torch.rand(B, L).double()
    density = label_log_prob(found, y, errors)
    # the same by drawing what the labels may be
    drawn = y + errors * torch.randn(50_000, B, L, generator=torch.Generator().manual_seed(3))
    wanted = found.log_prob(drawn.double()).logsumexp(dim=0) - np.log(50_000)
    assert torch.allclose(density, wanted, atol=0.1)
    assert torch.allclose(label_log_prob(found, y, 0 * errors), found.log_prob(y))
    density.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_a_flow_refuses_missing_labels():
    found = built({"kind": "flow", "transforms": 1})(hidden())
    y = torch.zeros(B, L)
    assert torch.isfinite(label_log_prob(found, y)).all()
    with pytest.raises(ModelError, match="6 missing"):
        label_log_prob(found, torch.full((B, L), torch.nan).where(torch.arange(L) < 1, y))
    with pytest.raises(ModelError, match="label_errors off"):
        label_log_prob(found, y, torch.ones(B, L))


def test_a_mixture_of_all_kinds():
    parts = [built(s, double=True)(hidden(double=True)) for s in SETTINGS]
    y = torch.randn(B, L).double()
    for some in (parts[:4], parts):
        mixed = equal_mixture(some)
        each = torch.stack([p.log_prob(y) for p in some])
        assert torch.allclose(mixed.log_prob(y), each.logsumexp(dim=0) - np.log(len(some)))
        assert torch.allclose(mixed.mean, sum(p.mean for p in some) / len(some))
        drawn = mixed.sample((4000,))
        assert drawn.shape == (4000, B, L)
        assert torch.allclose(drawn.mean(dim=0), mixed.mean, atol=0.05)
    assert components(equal_mixture(parts[:4])) is not None
    assert components(equal_mixture(parts)) is None


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kind": "oracle"}, "covariance, flow, mixture, normal"),
        ({}, "needs a kind"),
        ({"kind": "mixture", "colour": 1}, "colour"),
        ({"kind": "mixture", "n_components": 0}, "n_components"),
    ],
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(ConfigError, match=named):
        build_head(settings, H, L)


def test_without_zuko_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(MissingDependencyError, match=r"starnet\[flow\]"):
        build_head({"kind": "flow"}, H, L)
    assert build_head({"kind": "normal"}, H, L)(hidden()).mean.shape == (B, L)


def test_what_is_exported():
    assert all(hasattr(heads, name) for name in heads.__all__)
