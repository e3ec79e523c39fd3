"""From a network that gives distributions over scaled labels to a posterior in their own units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.distributions import Distribution

from starnet.inference.posterior import Density, LabelPosterior, MixturePosterior, SampledPosterior
from starnet.models import distribution_of, keep_memory
from starnet.models.heads import Components, components
from starnet.spectra import LabelScale

Array = NDArray[Any]


def network_posterior(
    network: nn.Module,
    inputs: Array,
    scale: LabelScale,
    *,
    batch_size: int = 128,
    device: str = "cpu",
    seed: int = 0,
    draws: int = 512,
) -> LabelPosterior | None:
    """What a network says of spectra, as a distribution; None if it gives labels alone.

    Normal distributions and their mixtures stay what they are (`in_units`); of any other, draws
    are taken, with the density beside them.

    Parameters
    ----------
    network : nn.Module
        On ``device``.
    inputs : array (N, C, P)
        All finite; it is kept where a density needs it later.
    scale : LabelScale
        Of the L labels.
    batch_size : int
        Spectra at a time; it bounds the memory.
    device : str
    seed, draws : int
        Of the draws from each distribution that is no mixture of normals.
    """
    normals: list[tuple[Array, ...]] = []
    values: list[Array] = []
    with _ready(network, seed):
        if distribution_of(network, _tensor(inputs[:0], inputs, device)) is None:
            return None
        # an empty batch tells which kind it is, also where there are no spectra at all
        starts = range(0, max(len(inputs), 1), batch_size)
        for found in _each(network, inputs, starts, batch_size, device):
            parts = components(found)
            if parts is None:
                sample = found.sample(torch.Size((draws,))).double().cpu().numpy()
                values.append(
                    scale.inverse(sample.reshape(-1, sample.shape[2])).reshape(sample.shape)
                )
            else:
                normals.append(in_units(parts, scale))
    if normals:
        whole = [np.concatenate(column) for column in zip(*normals, strict=True)]
        return MixturePosterior(scale.names, *whole)
    density = _density(network, inputs, scale, batch_size, device)
    return SampledPosterior(scale.names, np.concatenate(values, axis=1), density)


def in_units(parts: Components, scale: LabelScale) -> tuple[Array, Array, Array]:
    """Weights (B, K), means (B, K, L) and covariances of normals, in the labels' units.

    Exact for labels that are scaled linearly. A label whose logarithm is normal is log-normal; it
    is described by its mean, variance and covariances with the others, which are exact.
    """
    weights = parts.log_weights.double().exp().cpu().numpy()
    means = parts.means.double().cpu().numpy() * scale.scale + scale.mean
    lower = parts.lower.double().cpu().numpy() * np.asarray(scale.scale)[:, None]
    covariance = lower @ np.swapaxes(lower, -1, -2)
    log = np.array([name in scale.log10 for name in scale.names])
    if not log.any():
        return weights, means, covariance
    # in natural logarithms, u = log x: E x = exp(m + v / 2), cov(x, x') = E x E x' (exp(c) - 1),
    # and with a label y that is normal itself cov(x, y) = E x cov(u, y)
    unit = np.where(log, np.log(10.0), 1.0)
    means, covariance = means * unit, covariance * unit[:, None] * unit
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    out = np.where(log, np.exp(np.where(log, means + 0.5 * variance, 0.0)), means)
    factor = np.where(log, out, 1.0)
    both = log[:, None] & log
    covariance = np.where(both, np.expm1(np.where(both, covariance, 0.0)), covariance)
    return weights, out, covariance * factor[..., :, None] * factor[..., None, :]


def _density(
    network: nn.Module, inputs: Array, scale: LabelScale, batch_size: int, device: str
) -> Density:
    """Log density of labels, for which the network is run again."""

    def density(values: Array, rows: Array) -> Array:
        scaled = scale.forward(values)
        slope = np.log(scale.inverse_derivative(scaled)).sum(axis=1)
        out = []
        with _ready(network, 0):
            starts = range(0, len(rows), batch_size)
            parts = _each(network, inputs, starts, batch_size, device, rows)
            for start, found in zip(starts, parts, strict=True):
                target = torch.as_tensor(scaled[start : start + batch_size]).float().to(device)
                out.append(found.log_prob(target).double().cpu().numpy())
        return np.concatenate(out) - slope

    return density


def _each(
    network: nn.Module,
    inputs: Array,
    starts: range,
    batch_size: int,
    device: str,
    rows: Array | None = None,
) -> Iterator[Distribution]:
    for start in starts:
        chosen = slice(start, start + batch_size)
        part = inputs[chosen] if rows is None else inputs[rows[chosen]]
        found = distribution_of(network, _tensor(part, inputs, device))
        assert found is not None
        yield found


def _tensor(part: Array, inputs: Array, device: str) -> torch.Tensor:
    shape = (len(part), *inputs.shape[1:])
    return torch.from_numpy(np.array(part, dtype=np.float32).reshape(shape)).to(device)


@contextmanager
def _ready(network: nn.Module, seed: int) -> Iterator[None]:
    """Evaluation mode, no gradients and a seeded generator; all is as before afterwards."""
    keep_memory()
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            yield
    finally:
        for module, mode in modes:
            module.training = mode
