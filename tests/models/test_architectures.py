"""Sizes by argument, the mask, the scale of pixels, and that each network learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError
from starnet.models import (
    ConvNeXtConfig,
    ResMLPConfig,
    ResNetConfig,
    StarNetConfig,
    TransformerConfig,
    apply_network,
    build_network,
)
from starnet.models._parts import PixelScale, patches
from starnet.training.config import TrainingConfig
from starnet.training.loop import fit
from starnet.training.streams import ArrayStream

SMALL = {
    ConvNeXtConfig: {"patch": 16, "widths": (16, 16), "blocks": (1, 1), "kernel": 5},
    ResMLPConfig: {"width": 32, "blocks": 2},
    ResNetConfig: {
        "widths": (8, 16),
        "blocks": (1, 1),
        "stem_kernel": 8,
        "stem_stride": 4,
        "dense": (32,),
    },
    TransformerConfig: {"patch": 20, "width": 16, "layers": 1, "heads": 2, "dense": (32,)},
}
modern = pytest.mark.parametrize(("config", "sizes"), SMALL.items(), ids=lambda c: c.__name__
                                 if isinstance(c, type) else "")  # fmt: skip


def counted(config):
    return sum(p.numel() for p in build_network(config, seed=0).parameters())


def spectra(n=32, pixels=200, seed=0):
    """Normalised spectra whose three lines follow three labels, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=(n, 3)).astype(np.float32)
    at = np.arange(pixels)
    lines = np.exp(-0.5 * ((at - np.array([[40], [95], [150]])) / 3.0) ** 2)
    flux = 1 - 0.05 * (3 + labels) @ lines + 0.002 * rng.normal(size=(n, pixels))
    return flux[:, None].astype(np.float32), labels


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({"filters": (), "dense": (512, 128)}, 3_760_131),
        ({"filters": (), "dense": (2048, 1024, 512, 256, 128, 32)}, 17_567_747),
        ({"filters": (16,), "dense": (128,)}, 3_689_107),
        ({"filters": (4, 16), "dense": (256, 128)}, 7_406_903),
        ({"filters": (16, 32, 32, 64, 64), "pool": 16, "dense": (1024, 512, 256)}, 30_079_827),
    ],
    ids=["shallow-nn", "deep-nn", "shallow-cnn", "starnet", "deep-cnn"],
)
def test_the_table_of_2018_by_size(sizes, count):
    config = StarNetConfig(7214, 3, **sizes)
    with torch.device("meta"):
        network: Any = build_network(config)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (ResMLPConfig(7214, 3), 2_244_099),
        (ResMLPConfig(7214, 3, width=128, blocks=1, expand=2), 990_083),
        (ResMLPConfig(7214, 3, learnt=False), 397_059),
    ],
)
def test_parameters_by_arithmetic(config, count):
    w, hidden = config.width, config.width * config.expand
    stem = 7214 * w + w if config.learnt else 0
    block = 2 * w + w * hidden + hidden + hidden * w + w
    assert count == stem + config.blocks * block + 3 * w + 3
    assert counted(config) == count


@pytest.mark.parametrize(
    ("config", "more"),
    [
        (ResNetConfig, {"blocks": (2, 2, 2)}),
        (ResNetConfig, {"widths": (24, 32, 64)}),
        (ConvNeXtConfig, {"blocks": (1, 3, 1)}),
        (ConvNeXtConfig, {"expand": 8}),
        (TransformerConfig, {"layers": 3}),
        (TransformerConfig, {"width": 64}),
    ],
)
def test_larger_sizes_have_more_parameters(config, more):
    assert counted(config(400, 3, **more)) > counted(config(400, 3))


@modern
def test_learns_a_few_spectra(config, sizes):
    x, y = spectra()
    network: Any = build_network(config(200, 3, **sizes), seed=0)
    network.fit_inputs(x)
    how = TrainingConfig(
        optimizer="adamw", lr=3e-3, batch_size=32, epochs=80, schedule="onecycle", patience=None,
        device="cpu",
    )  # fmt: skip
    fit(network, ArrayStream(x, y), None, how, progress=False)
    assert np.mean((apply_network(network, x) - y) ** 2) < 0.05


@modern
def test_flux_at_masked_pixels_has_no_say(config, sizes):
    x, _ = spectra(n=8)
    mask = np.zeros_like(x)
    mask[:, :, 90:100] = 1
    network: Any = build_network(config(200, 3, n_channels=2, **sizes), seed=0)
    network.fit_inputs(np.concatenate([x, mask], axis=1))
    wrong = np.where(mask > 0, np.float32(7), x)
    first, second = (apply_network(network, np.concatenate([f, mask], 1)) for f in (x, wrong))
    np.testing.assert_allclose(first, second, atol=1e-5)
    open_ = apply_network(network, np.concatenate([x, 0 * mask], 1))
    assert np.abs(open_ - first).max() > 1e-5


def test_scale_of_pixels_is_that_of_good_ones():
    x, _ = spectra(n=50)
    mask = np.zeros_like(x)
    mask[:20, 0, 40] = 1
    bad = np.where(mask > 0, np.float32(1e3), x)
    scale = PixelScale(200)
    scale.fit(np.concatenate([bad, mask], axis=1))
    assert scale.center[40].item() == pytest.approx(x[20:, 0, 40].mean(), abs=1e-5)
    assert 1 / scale.inverse[40].item() == pytest.approx(x[20:, 0, 40].std(), rel=1e-4)
    z = scale(torch.from_numpy(np.concatenate([bad, mask], axis=1)))
    assert z.abs().max() < 10
    assert not z[:20, 0, 40].any()
    assert torch.equal(z[:, 1], torch.from_numpy(mask[:, 0]))


def test_projection_begins_as_principal_components():
    x, _ = spectra(n=60)
    network: Any = build_network(ResMLPConfig(200, 3, width=5, whiten_power=1.0), seed=0).eval()
    network.fit_inputs(x)
    flux = network.scale(torch.from_numpy(x))[:, 0]
    z = (flux - flux.mean(dim=0)) @ network.stem.weight.T
    covariance = (z.T @ z / len(z)).detach()
    torch.testing.assert_close(covariance, torch.eye(5), atol=1e-3, rtol=0)


def test_noise_in_training_is_on_the_flux_and_leaves_the_mask():
    config = ResMLPConfig(n_pixels=50, n_labels=1, n_channels=2, width=4, blocks=1, noise=1.0)
    network = build_network(config, seed=0).train()
    seen = []
    network.stem.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    x = torch.zeros(3, 2, 50)
    x[:, 1, ::2] = 1.0
    network(x)
    assert torch.equal(seen[0][:, 50:], x[:, 1])
    assert seen[0][:, :50].std() == pytest.approx(1.0, rel=0.3)


def test_patches_end_in_zeros():
    x = torch.arange(1.0, 15.0).reshape(1, 2, 7)
    cut = patches(x, 3)
    assert cut.shape == (1, 3, 6)
    assert cut[0, 2].tolist() == [7, 0, 0, 14, 0, 0]


@pytest.mark.parametrize(
    ("config", "change", "named"),
    [
        (ResNetConfig, {"widths": (8,)}, "widths and blocks"),
        (ResNetConfig, {"kernel": 4}, "odd"),
        (ResNetConfig, {"n_pixels": 31}, "stem_kernel"),
        (ConvNeXtConfig, {"blocks": ()}, "widths and blocks"),
        (ConvNeXtConfig, {"kernel": 2}, "odd"),
        (ConvNeXtConfig, {"patch": 0}, "patch"),
        (TransformerConfig, {"width": 20, "heads": 3}, "multiple"),
        (TransformerConfig, {"pool": "max"}, "pool"),
        (ResMLPConfig, {"whiten_power": 2}, "whiten_power"),
        (ResMLPConfig, {"noise": -1.0}, "noise"),
        (ResMLPConfig, {"dropout": 1.0}, "dropout"),
    ],
)
def test_wrong_settings_are_named(config, change, named):
    with pytest.raises(ConfigError, match=named):
        config(**({"n_pixels": 100, "n_labels": 3} | change))
