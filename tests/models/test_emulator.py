"""The emulator's network: its derivatives, and that it is rebuilt from its configuration."""

import json

import pytest
import torch

from starnet.errors import ConfigError
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork


def network(hidden=(12, 12, 8), seed=0):
    torch.manual_seed(seed)
    made = EmulatorNetwork(EmulatorConfig(3, 40, components=5, hidden=hidden)).double()
    with torch.no_grad():
        made.basis.normal_()
        made.low.copy_(torch.tensor([4000.0, 0.0, -2.0]))
        made.high.copy_(torch.tensor([6000.0, 5.0, 0.5]))
        made.spread.uniform_(0.5, 2.0)
    return made


LABELS = torch.tensor([[4500.0, 2.0, -0.5], [5800.0, 4.4, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("hidden", [(12, 12, 8), (9,), (6, 6, 6)])
def test_slopes_are_the_derivatives(hidden):
    made = network(hidden)
    value, rise = made.coefficients_and_slopes(LABELS)
    torch.testing.assert_close(value, made.coefficients(LABELS))
    auto = torch.autograd.functional.jacobian(
        lambda row: made.coefficients(row[None])[0], LABELS[0]
    )
    torch.testing.assert_close(rise[0], auto.T)


def test_flux_is_the_mean_and_components():
    made = network()
    by_hand = made.mean + made.coefficients(LABELS) @ made.basis
    torch.testing.assert_close(made(LABELS), by_hand)


def test_labels_are_scaled_from_minus_one_to_one():
    made = network()
    torch.testing.assert_close(made.scaled(made.low[None]), -torch.ones(1, 3).double())
    torch.testing.assert_close(made.scaled(made.high[None]), torch.ones(1, 3).double())


def test_configuration_survives_json():
    config = EmulatorConfig(3, 40, components=5, hidden=(7, 7))
    assert EmulatorConfig(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("wrong", [{"hidden": ()}, {"components": 0}, {"hidden": (4, 0)}])
def test_sizes_that_make_no_network(wrong):
    with pytest.raises(ConfigError, match="1 or more"):
        EmulatorConfig(3, 40, **wrong)
