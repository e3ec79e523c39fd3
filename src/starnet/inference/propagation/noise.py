"""What the noise of pixels does to labels, to first order: J diag(1 / ivar) J^T.

Source: Fabbro et al. (2018, MNRAS 475, 2978), section 4. There the derivatives were found star by
star; here they are found for whole batches (`starnet.models.jacobian`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from starnet.artifact import Model
from starnet.errors import ConfigError, DataError, ModelError
from starnet.models import keep_memory
from starnet.models.jacobian import outputs_and_slopes
from starnet.spectra import Spectra

Array = NDArray[Any]


def label_jacobian(
    network: Model | nn.Module,
    inputs: Array,
    *,
    batch_size: int = 128,
    channel: int | None = None,
    device: str = "cpu",
) -> Array:
    """Derivatives of the scaled labels with respect to the flux, (N, L, P) float32.

    Parameters
    ----------
    network : Model or nn.Module
        On ``device``; it is differentiated in evaluation mode.
    inputs : (N, C, P) array
        As `Model.inputs` makes them.
    batch_size : int
        Spectra at a time; it bounds the memory beside the result.
    channel : int, optional
        The channel that is varied, others are held fixed. Default: the flux of a model, the first
        one of a network.

    Raises
    ------
    ModelError
        If the model is fed no flux.
    """
    network, flux = _network_of(network)
    channel = flux if channel is None else channel
    parts = [
        slopes.cpu().numpy()
        for _, _, slopes in _stream(
            network, lambda rows: inputs[rows], len(inputs), batch_size, channel, device
        )
    ]
    if not parts:
        n_labels = network.config.n_labels  # type: ignore[union-attr]
        return np.zeros((0, n_labels, inputs.shape[2]), dtype=np.float32)  # type: ignore[arg-type]
    return np.concatenate(parts)


def propagated_covariance(
    jacobian: ArrayLike, ivar: ArrayLike, mask: ArrayLike | None = None
) -> Array:
    """Covariance (N, L, L) of labels from errors of pixels that are independent of each other.

    Parameters
    ----------
    jacobian : array (N, L, P)
    ivar : array (N, P)
        Inverse variances; pixels where it is 0 have no known error and add nothing.
    mask : array (N, P), optional
        True for pixels that add nothing.

    Returns
    -------
    array (N, L, L)
        NaN for a star without a single pixel of known error.

    Raises
    ------
    DataError
        If the shapes do not agree.
    """
    slopes, weight = np.asarray(jacobian, dtype=np.float32), np.array(ivar, dtype=np.float32)
    bad = np.zeros(weight.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    if slopes.ndim != 3 or not weight.shape == bad.shape == (slopes.shape[0], slopes.shape[2]):
        raise DataError(
            "The jacobian must be (N, L, P), ivar and mask (N, P); received "
            f"{slopes.shape}, {weight.shape} and {bad.shape}."
        )
    weight[bad] = 0.0
    return _covariance(torch.from_numpy(np.ascontiguousarray(slopes)), torch.from_numpy(weight))


@overload
def propagate(
    model: Model,
    prepared: Spectra,
    *,
    batch_size: int = ...,
    max_error: float = ...,
    device: str = ...,
    keep_jacobian: Literal[False] = ...,
) -> tuple[Array, Array]: ...


@overload
def propagate(
    model: Model,
    prepared: Spectra,
    *,
    batch_size: int = ...,
    max_error: float = ...,
    device: str = ...,
    keep_jacobian: Literal[True],
) -> tuple[Array, Array, Array]: ...


def propagate(
    model: Model,
    prepared: Spectra,
    *,
    batch_size: int = 128,
    max_error: float = np.inf,
    device: str = "cpu",
    keep_jacobian: bool = False,
) -> tuple[Array, ...]:
    """Labels of spectra, and the covariance that the noise of their pixels gives them.

    The covariance is J diag(1 / ivar) J^T in the space of prepared spectra, whose fluxes and
    inverse variances the pipeline has scaled alike. Neglected are: the noise of what the pipeline
    divides by (medians and continua are taken as exact), correlations between pixels (resampled
    pixels share noise), what is beyond the first order, and errors of the network itself (see
    `IntrinsicScatter`). Of a network that reads ivar or mask too, only the flux is varied.

    Parameters
    ----------
    model : Model
        Its network is on ``device``.
    prepared : Spectra
        As `Model.prepare` gives them.
    batch_size : int
        Spectra at a time; memory beside the result does not grow with their number.
    max_error : float
        Pixels with a larger error, in units of the prepared flux, add nothing. It was 6 in 2018,
        where bad pixels were marked by huge errors; here they are masked.
    keep_jacobian : bool
        Give the derivatives too.

    Returns
    -------
    values : array (N, L)
        In the labels' units; NaN for a star without a good pixel.
    covariance : array (N, L, L)
        In products of units; NaN for a star without a single pixel of known error.
    jacobian : array (N, L, P), float32, only with ``keep_jacobian``
        Label's unit per prepared flux. It is as large as L copies of the spectra.

    Raises
    ------
    ConfigError
        If ``max_error`` is not positive, or ``batch_size`` not 1 or more.
    ModelError
        If the model is fed no flux.
    """
    if not max_error > 0:
        raise ConfigError(f"max_error must be positive; received {max_error}.")
    network, channel = _network_of(model)
    n, n_labels = len(prepared), len(model.labels)
    values, covariance = np.full((n, n_labels), np.nan), np.full((n, n_labels, n_labels), np.nan)
    shape = (n, n_labels, prepared.flux.shape[1] if keep_jacobian else 0)
    jacobian = np.zeros(shape, dtype=np.float32)
    least = 0.0 if np.isinf(max_error) else 1.0 / max_error**2

    def inputs(rows: slice) -> Array:
        return model.inputs(prepared[rows])

    for rows, out, slopes in _stream(network, inputs, n, batch_size, channel, device):
        ivar = np.where(prepared.mask[rows], np.float32(0), prepared.ivar[rows])
        ivar[ivar < least] = 0.0
        scaled = out.double().cpu().numpy()
        unit = model.scale.inverse_derivative(scaled)  # (B, L), label per scaled label
        found = _covariance(slopes, torch.from_numpy(ivar).to(slopes.device))
        values[rows] = model.scale.inverse(scaled)
        covariance[rows] = found * unit[:, :, None] * unit[:, None, :]
        if keep_jacobian:
            jacobian[rows] = slopes.cpu().numpy() * unit[:, :, None]
    blind = prepared.mask.all(axis=1)
    values[blind], covariance[blind] = np.nan, np.nan
    return (values, covariance, jacobian) if keep_jacobian else (values, covariance)


def _network_of(network: Model | nn.Module) -> tuple[nn.Module, int]:
    """A network and the place of the flux among its channels."""
    if not isinstance(network, Model):
        return network, 0
    if "flux" not in network.channels:
        raise ModelError(
            f"Errors are propagated from the flux; the model {network.name!r} is fed "
            f"{', '.join(network.channels)}."
        )
    return network.network, network.channels.index("flux")


def _stream(
    network: nn.Module,
    inputs: Callable[[slice], Array],
    n: int,
    batch_size: int,
    channel: int,
    device: str,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows, outputs (B, L) and slopes (B, L, P), batch by batch."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be 1 or more; received {batch_size}.")
    keep_memory()
    was_training = network.training
    network.eval()
    try:
        for start in range(0, n, batch_size):
            rows = slice(start, min(start + batch_size, n))
            x = np.array(inputs(rows), dtype=np.float32)
            yield rows, *outputs_and_slopes(network, torch.from_numpy(x).to(device), channel)
    finally:
        network.train(was_training)


def _covariance(slopes: Tensor, ivar: Tensor) -> Array:
    """Float64 (B, L, L) of slopes (B, L, P) and inverse variances (B, P), 0 where left out."""
    known = ivar > 0
    sigma = torch.where(known, ivar, 1.0).rsqrt().where(known, 0.0)
    most = sigma.amax(dim=1)  # taken out, so that squares stay within float32
    part = slopes * (sigma / torch.where(most > 0, most, 1.0)[:, None])[:, None]
    found = (part @ part.mT).double() * most.double().square()[:, None, None]
    found[most <= 0] = torch.nan
    return found.cpu().numpy()
