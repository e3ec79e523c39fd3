"""One contract for every registered network, at more than one setting each."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError, ModelError
from starnet.models import (
    AmortisedConfig,
    ConvNeXtConfig,
    EnsembleConfig,
    HeadedConfig,
    KernelConfig,
    ProjectionConfig,
    QuotedConfig,
    ReaderConfig,
    ResMLPConfig,
    ResNetConfig,
    StarNetConfig,
    TransformerConfig,
    apply_network,
    build_network,
    config_from_dict,
    config_to_dict,
    families,
)
from starnet.models.jacobian import outputs_and_slopes

EXAMPLES = {
    "amortised": [
        AmortisedConfig(
            60,
            2,
            reader={"components": 4, "hidden": [8, 8]},
            head={"kind": kind} | more,
            hidden=(6,),
        )
        for kind, more in (("mixture", {}), ("flow", {"transforms": 1, "nodes": [8]}))
    ],
    "starnet": [
        StarNetConfig(101, 3),
        StarNetConfig(64, 2, n_channels=2, padding="same", dropout=0.3, dense=(16,)),
        StarNetConfig(50, 1, filters=(), dense=(32, 16)),
        StarNetConfig(90, 4, filters=(8,), dense=(12,)),
        StarNetConfig(200, 2, filters=(4, 4, 8), dense=(), padding="same"),
        StarNetConfig(200, 2, n_channels=2, dense=(8,), binning=3),
        StarNetConfig(90, 2, dense=(12,), activation="gelu", initialiser="glorot_uniform"),
    ],
    "headed": [
        HeadedConfig(80, 3, trunk={"family": "starnet", "filters": [2, 4], "dense": [8]}, width=6),
        HeadedConfig(
            90,
            2,
            n_channels=2,
            trunk={"family": "starnet", "filters": [3], "dense": [], "dropout": 0.1},
            head={"kind": "mixture", "n_components": 2},
            width=12,
        ),
        HeadedConfig(
            60,
            2,
            n_channels=2,
            trunk={"family": "reader", "components": 4, "hidden": [8]},
            head={"kind": "normal"},
            width=9,
        ),
    ],
    "projection": [
        ProjectionConfig(120, 3, scales=(0.0, 6.0), components=(5, 8), views=((0,), (0, 1))),
        ProjectionConfig(
            90,
            2,
            n_channels=2,
            scales=(9.0,),
            components=(7,),
            views=((0,),),
            first_pixel=10,
            shift=0.2,
        ),
    ],
    "reader": [
        ReaderConfig(120, 3, components=6, hidden=(16, 16), order=1),
        ReaderConfig(90, 2, components=4, hidden=(8,), chips=((0, 40), (50, 90)), passes=1),
    ],
    "kernel": [
        KernelConfig(120, 3, n_stars=9, scales=(0.0, 6.0), components=(5, 8)),
        KernelConfig(
            90,
            2,
            n_stars=7,
            scales=(0.0,),
            components=(6,),
            readers=(
                {"pixels": [10, 70], "n_labels": 4, "components": 3, "hidden": [8], "passes": 1},
            ),
            own=((0, 2), ()),
        ),
    ],
    "convnext": [
        ConvNeXtConfig(100, 3, patch=8, widths=(8, 12), blocks=(1, 2), kernel=3, positions=3),
        ConvNeXtConfig(
            90,
            2,
            n_channels=2,
            patch=4,
            widths=(6,),
            blocks=(1,),
            expand=2,
            positions=1,
            dense=(),
            dropout=0.2,
        ),
    ],
    "resmlp": [
        ResMLPConfig(90, 3, width=16, blocks=2),
        ResMLPConfig(
            70, 2, n_channels=2, width=12, blocks=1, expand=2, noise=0.1, dropout=0.2, learnt=False
        ),
    ],
    "resnet": [
        ResNetConfig(100, 3, widths=(6, 8), blocks=(1, 2), positions=4, dense=(8,)),
        ResNetConfig(
            90,
            2,
            n_channels=2,
            widths=(6,),
            blocks=(2,),
            kernel=5,
            stem_kernel=4,
            stem_stride=3,
            positions=1,
            dense=(),
            dropout=0.2,
        ),
    ],
    "transformer": [
        TransformerConfig(100, 3, patch=16, width=16, layers=1, heads=2, dense=(8,)),
        TransformerConfig(
            90, 2, n_channels=2, patch=8, own=False, width=8, heads=2, pool="token", dropout=0.2
        ),
        TransformerConfig(64, 1, patch=10, width=8, heads=1, pool="mean", dense=()),
    ],
    "quoted": [
        QuotedConfig(
            (
                config_to_dict(
                    KernelConfig(
                        120, 3, n_stars=9, scales=(0.0, 6.0), components=(5, 8), spread=True
                    )
                ),
                config_to_dict(
                    ProjectionConfig(
                        120, 3, n_channels=2, scales=(0.0,), components=(7,), views=((0,),)
                    )
                ),
            )
        ),
    ],
    "ensemble": [
        EnsembleConfig(
            tuple(config_to_dict(StarNetConfig(80, 2, dense=(n,))) for n in (8, 16)),
        )
    ],
}
CONFIGS = [config for configs in EXAMPLES.values() for config in configs]

every_network = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)


def spectra(config, n=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, config.n_channels, config.n_pixels)).astype(np.float32)


def test_every_family_has_examples():
    made_up = {name for name in families() if name.startswith("test-")}  # stand-ins of other tests
    assert set(EXAMPLES) == set(families()) - made_up


@every_network
def test_shape_and_dtype(config):
    network = build_network(config, seed=1).eval()
    for dtype in (torch.float32, torch.float64):
        out = network.to(dtype)(torch.from_numpy(spectra(config)).to(dtype))
        assert out.shape == (5, config.n_labels)
        assert out.dtype == dtype


@every_network
def test_every_parameter_and_the_input_have_a_gradient(config):
    network = build_network(config, seed=1).eval()
    x = torch.from_numpy(spectra(config)).requires_grad_()
    network(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.count_nonzero(parameter.grad) > 0, name
    assert x.grad is not None
    assert torch.count_nonzero(x.grad) > 0


@every_network
def test_one_spectrum_does_not_change_another(config):
    network = build_network(config, seed=1)
    x = spectra(config, n=7)
    np.testing.assert_allclose(
        apply_network(network, x, batch_size=3), apply_network(network, x), rtol=2e-5, atol=1e-5
    )
    assert network.training, "prediction must leave the mode as it was"


@every_network
def test_weights_survive_a_round_trip(config):
    first, second = build_network(config, seed=1), build_network(config, seed=2)
    x = spectra(config)
    assert not np.array_equal(apply_network(first, x), apply_network(second, x))
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(apply_network(first, x), apply_network(second, x))


@every_network
def test_configuration_survives_json(config):
    plain = json.loads(json.dumps(config_to_dict(config)))
    assert config_from_dict(plain) == config
    assert build_network(plain, seed=0).config == config


@every_network
def test_seed_fixes_the_weights_and_leaves_the_generator(config):
    before = torch.get_rng_state()
    first, second = build_network(config, seed=3), build_network(config, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@every_network
def test_configuration_is_frozen(config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n_pixels = 3


@every_network
def test_no_spectra_give_no_labels(config):
    empty = np.empty((0, config.n_channels, config.n_pixels), np.float32)
    assert apply_network(build_network(config), empty).shape == (0, config.n_labels)


def test_an_unknown_family_says_what_there_is():
    with pytest.raises(ModelError, match="starnet"):
        config_from_dict({"family": "perceptron", "n_pixels": 3})


@pytest.mark.parametrize(
    ("change", "named"),
    [({"colour": 1}, "colour"), ({"pool": 0}, "pool"), ({"padding": "full"}, "padding")],
)
def test_wrong_settings_in_a_file_are_named(change, named):
    values = config_to_dict(StarNetConfig(100, 3)) | change
    with pytest.raises(ModelError, match=named):
        config_from_dict(values)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n_pixels": 12}, "n_pixels"),
        ({"n_labels": 0}, "n_labels"),
        ({"filters": (4, -1)}, "filters"),
        ({"dropout": 1.0}, "dropout"),
        ({"kernel": 2.5}, "kernel"),
    ],
)
def test_wrong_settings_are_named(change, named):
    with pytest.raises(ConfigError, match=named):
        StarNetConfig(**({"n_pixels": 100, "n_labels": 3} | change))


def test_a_stranger_is_refused():
    with pytest.raises(ModelError, match="int"):
        config_to_dict(3)


@every_network
def test_slopes_of_many_outputs_are_its_gradient(config):
    """Differentiated as propagated errors need it, for the first channel alone."""
    network = build_network(config, seed=1).eval()
    x = torch.from_numpy(spectra(config)).abs() + 0.1
    out, slopes = outputs_and_slopes(network, x)
    x.requires_grad_()
    wanted = network(x)
    torch.testing.assert_close(out, wanted.detach(), rtol=1e-4, atol=1e-5)
    assert slopes.shape == (5, config.n_labels, config.n_pixels)
    for i in range(config.n_labels):
        (back,) = torch.autograd.grad(wanted[:, i].sum(), x, retain_graph=True)
        scale = back.abs().max().item()
        torch.testing.assert_close(slopes[:, i], back[:, 0], rtol=1e-3, atol=1e-4 * scale)
