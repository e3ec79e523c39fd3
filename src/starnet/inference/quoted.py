"""What a model says of prepared spectra: labels, and every part of their errors kept apart.

An error has parts of two kinds. *Noise* is what repeats of a spectrum would scatter by: from the
pixels' own errors and what else changes from visit to visit. *Model* is the rest, which is the same
in every visit: what the network does not know, and what it learnt wrongly. The catalogue has both
and their sum in squares; `Calibration` acts on the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starnet.artifact import Model
from starnet.inference.calibration import CalibratedPosterior, Calibration
from starnet.inference.information import information
from starnet.inference.network_posterior import network_posterior
from starnet.inference.posterior import LabelPosterior, MixturePosterior
from starnet.inference.propagation import IntrinsicScatter, combine, propagate
from starnet.models import apply_network
from starnet.models.amortised import Amortised
from starnet.models.reader import Reader
from starnet.spectra import Spectra

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Answer:
    """Labels of N stars with their errors in physical units.

    Attributes
    ----------
    values : array (N, L)
    error : array (N, L)
        Of everything together, NaN if the model gives none.
    noise : array (N, L)
        The part of it that repeats show; NaN if unknown.
    raw : array (N, L)
        The error before calibration and floor.
    information : array (N, L) or None
        Share of the spread of the training labels that the spectrum explains.
    posterior : LabelPosterior or None
    members : array (M, N, L) or None
        What the members of an ensemble say.
    features : array (N, F) or None
        Of a reader.
    """

    values: Array
    error: Array
    noise: Array
    information: Array | None = None
    posterior: LabelPosterior | None = None
    members: Array | None = None
    features: Array | None = None


def quote(
    model: Model,
    prepared: Spectra,
    snr: Array,
    *,
    alive: Array | None = None,
    batch_size: int = 128,
    device: str = "cpu",
) -> Answer:
    """Labels of prepared spectra, with calibrated errors where the model has a calibration.

    Parameters
    ----------
    model : Model
    prepared : Spectra
        As `Model.prepare` gives them.
    snr : array (N,)
        Of the spectra before preparation: a stratum of the calibration.
    alive : bool array (N,), optional
        Spectra that have labels at all; the others become NaN.
    batch_size : int
    device : str
    """
    dead = np.zeros(len(prepared), bool) if alive is None else ~np.asarray(alive)
    raw = _raw(model, prepared, batch_size, device)
    values = np.where(dead[:, None], np.nan, raw.values)
    if raw.posterior is None:
        nothing = np.full(values.shape, np.nan)
        return replace(raw, values=values, error=nothing, noise=nothing)
    own, levels, reach = raw.error, None, None
    if model.calibration:
        calibration = Calibration.from_dict(model.calibration)
        known = {name: values[:, i] for i, name in enumerate(model.labels)}
        strata = {k: known[k] for k in ("teff", "fe_h") if k in known} | {"snr": snr}
        own = own * calibration.scales(model.labels, strata)
        levels, reach = calibration.levels, calibration.reach(model.labels)
    floor = np.array([model.error_floor.get(name, 0.0) for name in model.labels])
    error = np.where(dead[:, None], np.nan, np.hypot(own, floor))
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(raw.error > 0, error / raw.error, np.where(dead[:, None], np.nan, 1.0))
    return replace(
        raw,
        values=values,
        error=error,
        noise=np.minimum(raw.noise, error),
        information=information(own, model.scale, values),
        posterior=CalibratedPosterior(raw.posterior, scale, levels, reach),
    )


def _raw(model: Model, prepared: Spectra, batch_size: int, device: str) -> Answer:
    """As the network gives it, before calibration and floor."""
    network, scale = model.network, model.scale
    run = {"batch_size": batch_size, "device": device}
    inputs = model.inputs(prepared)
    if isinstance(network, Reader):
        return _read(network, model, inputs, run)
    if model.scatter:
        values, covariance = propagate(model, prepared, **run)
        noise = np.sqrt(np.einsum("nll->nl", covariance))
        total = combine(np.nan_to_num(covariance), _scatter(model, values))
        posterior = MixturePosterior.gaussian(model.labels, values, covariance=total)
        return Answer(values, posterior.error, noise, None, posterior)
    found = network_posterior(network, inputs, scale, **run)
    if found is None:
        values = scale.inverse(apply_network(network, inputs, **run))
        nothing = np.full(values.shape, np.nan)
        return Answer(values, nothing, nothing)
    if isinstance(network, Amortised):  # the reader knows the rest
        reader = _read(network.reader, model, inputs, run)
        return replace(reader, values=found.mean, error=found.error, posterior=found)
    nothing = np.full(found.mean.shape, np.nan)
    members = _members(model, inputs, run)
    return Answer(found.mean, found.error, nothing, None, found, members)


def _scatter(model: Model, values: Array) -> Array:
    """Intrinsic scatter (N, L) of the model's labels; 0 for one that it was not measured of."""
    known = IntrinsicScatter.from_dict(model.scatter)
    found = known.at(values[:, [model.labels.index(name) for name in known.names]])
    out = np.zeros(values.shape)
    for name, column in zip(known.names, found.T, strict=True):
        out[:, model.labels.index(name)] = column
    return out


def _read(network: Reader, model: Model, inputs: Array, run: dict[str, Any]) -> Answer:
    n, f = len(model.labels), network.config.n_features
    out = apply_network(_Reading(network), inputs, **run)
    features, out = out[:, :f], out[:, f:]
    values, slope = model.scale.inverse(out[:, :n]), model.scale.inverse_derivative(out[:, :n])
    error = out[:, n : 2 * n] * slope
    told = out.shape[1] > 2 * n
    noise = out[:, 2 * n :] * slope if told else np.full(values.shape, np.nan)
    posterior = MixturePosterior.gaussian(model.labels, values, error=error)
    return Answer(values, error, noise, None, posterior, None, features)


def _members(model: Model, inputs: Array, run: dict[str, Any]) -> Array | None:
    """What each member of an ensemble says, (M, N, L)."""
    members = getattr(model.network, "members", None)
    if members is None or len(members) < 2:
        return None
    return np.stack([model.scale.inverse(apply_network(m, inputs, **run)) for m in members])


class _Reading(nn.Module):
    """A reader's features, means, errors and scatter among visits: (B, F + 2 L) or (B, F + 3 L)."""

    def __init__(self, network: Reader) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features = self.network.features(x)
        hidden = self.network.hidden(features)
        parts = [features, *self.network.read(features, hidden)]
        if self.network.repeat_head is not None:
            parts.append(self.network.repeated(hidden))
        return torch.cat(parts, dim=1)
