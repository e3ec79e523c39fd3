"""What speaks for and against a spectrum being like the training set, in numbers per star."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starnet.artifact import Model
from starnet.errors import GridError
from starnet.inference.cycle import on_pixels
from starnet.models import Reader, apply_network
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
WAVE_FLOOR = 0.004
"""Of the continuum, rms over the smaller `windows`, less over larger ones as the root of their
width: by as much do real stars differ from made ones (the Sun, Arcturus and stars of three
generators learnt from APOGEE: 0.0018 to 0.0037, and 0.0011 to 0.0023 over twice the width)."""
PIXEL_FLOOR = 0.015
"""Of the continuum, rms over single pixels, likewise."""
MOST = 5.0
"""Residuals count as this many sigma at most, so that bad pixels without a mask do no harm."""
BATCH = 100
WINDOWS = 24
"""Of a spectrum, where a network has neither components nor hidden features."""


def features_of(model: Model, inputs: Array) -> Array:
    """The network's features (N, F) of inputs (N, C, P).

    Fitted components of a `Reader` in units of their spread; else hidden features of a network
    that has ``embed``; else mean and scatter of the flux in `WINDOWS` windows.
    """
    network = model.network
    if isinstance(network, Reader):
        k = network.config.components
        return apply_network(_Method(network, "features"), inputs)[:, :k]
    if hasattr(network, "embed"):
        return apply_network(_Method(network, "embed"), inputs)
    flux = inputs[:, model.channels.index("flux")]
    parts = np.array_split(flux, WINDOWS, axis=1)
    return np.column_stack([f(part, axis=1) for f in (np.mean, np.std) for part in parts])


def emulated_features(model: Model, emulator: Emulator | None, labels: Labels) -> Array | None:
    """Features (N, K) that spectra of these labels have by the emulator; None where unknown.

    Of a `Reader` only, and an emulator that has its pixels. Labels outside the emulator's hull
    are moved to its edge, NaN ones to its middle.
    """
    if emulator is None or not isinstance(model.network, Reader):
        return None
    try:
        own = on_pixels(emulator, model.input_grid)
    except GridError:
        return None
    known = labels.select([n for n in labels.names if n in (*own.labels, "m_h")])
    values = own.own(known)
    middle = 0.5 * (own.hull.low + own.hull.high)
    values = own.hull.clip(np.where(np.isfinite(values), values, middle))
    wave = model.input_grid.wavelength
    pixels = np.flatnonzero(np.isin(wave, model.grid.wavelength))
    reader, network = model.network, own.network
    with torch.no_grad():
        offset = (network.mean[pixels] - reader.mean) @ reader.basis.T / reader.power
        gain = network.basis[:, pixels] @ reader.basis.T / reader.power  # (E, K)
        numbers = network.coefficients(torch.as_tensor(values, dtype=torch.float32))
        return (offset + numbers @ gain).numpy()


def residual_evidence(reader: Reader, inputs: Array, features: Array) -> dict[str, Array]:
    """How far spectra are from the reader's own fit of components and continuum.

    Parameters
    ----------
    reader : Reader
    inputs : array (N, 2, P)
        Flux and inverse variance.
    features : array (N, K)

    Returns
    -------
    dict
        ``pixels`` (N,): mean square of the residual over its error, `PIXEL_FLOOR` added in
        squares; ``waves`` (N,): mean square of the residual's means over windows of a few
        per cent of a chip, over the error of these, `WAVE_FLOOR` added.
    """
    parts = []
    with torch.no_grad():
        for start in range(0, len(inputs), BATCH):
            rows = slice(start, start + BATCH)
            some = torch.as_tensor(inputs[rows]), torch.as_tensor(features[rows])
            parts.append(_residuals(reader, *some))
    if not parts:
        return {"pixels": np.zeros(0), "waves": np.zeros(0)}
    return {
        name: np.concatenate([part[name].numpy() for part in parts]).astype(float)
        for name in parts[0]
    }


def _residuals(reader: Reader, inputs: Tensor, features: Tensor) -> dict[str, Tensor]:
    flux, ivar = inputs[:, 0], inputs[:, 1].clamp_min(0)
    model = reader.mean + (features * reader.power) @ reader.basis  # (B, P)
    weight = ivar
    for turn in range(2):
        residual, level = _without_continuum(reader, flux, weight, model)
        if turn == 0:  # bad pixels that no mask tells of have no say in the continuum
            wrong = residual.square() > MOST**2 * (1 / ivar.clamp_min(1e-12) + 0.02**2)
            weight = torch.where(wrong, 0.0, ivar)
    level = level.abs().clamp_min(0.05)
    residual, sharp = residual / level, ivar * level**2  # over the continuum
    good = ivar > 0
    square = residual.square() / (1 / sharp.clamp_min(1e-12) + PIXEL_FLOOR**2)
    count = good.sum(dim=1).clamp_min(1)
    pixels = torch.where(good, square.clamp_max(MOST**2), 0.0).sum(dim=1) / count
    sharp = torch.where(weight > 0, sharp, 0.0)
    return {"pixels": pixels, "waves": _waves(reader, residual, sharp)}


def _without_continuum(
    reader: Reader, flux: Tensor, weight: Tensor, model: Tensor
) -> tuple[Tensor, Tensor]:
    """Residual (B, P) of flux from a model times the best polynomial of each chip, and that."""
    order = reader.config.order + 1
    level = torch.ones_like(flux)
    pairs = torch.triu_indices(order, order)
    for c, (a, b) in enumerate(reader.config.chips):
        base = reader.legendre[c * order : (c + 1) * order, a:b]  # (Q, p)
        lever = weight[:, a:b] * model[:, a:b]
        packed = (lever * model[:, a:b]) @ (base[pairs[0]] * base[pairs[1]]).T
        normal = torch.zeros(len(flux), order, order)
        normal[:, pairs[0], pairs[1]] = packed
        normal[:, pairs[1], pairs[0]] = packed
        size = normal.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(1e-12)
        normal = normal + 1e-5 * size[:, None, None] * torch.eye(order)
        numbers = torch.linalg.solve(normal, (lever * flux[:, a:b]) @ base.T)
        level[:, a:b] = numbers @ base
    return flux - model * level, level


def _waves(reader: Reader, residual: Tensor, sharp: Tensor) -> Tensor:
    """Largest mean square, over two sizes of windows, of means of the residual; (B,)."""
    found = []
    for size in windows(reader):
        floor = WAVE_FLOOR * (windows(reader)[0] / size) ** 0.5
        squares, counts = [], []
        for a, b in reader.config.chips:
            stop = a + (b - a) // size * size
            shape = (len(residual), -1, size)
            weight = sharp[:, a:stop].reshape(shape).sum(dim=2)
            total = (residual * sharp)[:, a:stop].reshape(shape).sum(dim=2)
            squares.append(total.square() / (weight + (floor * weight) ** 2).clamp_min(1e-9))
            counts.append(weight > 0)
        there = torch.cat(counts, dim=1).sum(dim=1).clamp_min(1)
        found.append(torch.cat(squares, dim=1).sum(dim=1) / there)
    return torch.stack(found).amax(dim=0)


def windows(reader: Reader) -> tuple[int, int]:
    """Pixels of the windows: a quarter of what the continuum's polynomials follow, and half."""
    lengths = [b - a for a, b in reader.config.chips]
    size = max(4, round(np.mean(lengths) / (4 * (reader.config.order + 1))))
    return size, min(2 * size, min(lengths))


def snr_of(prepared: Spectra) -> Array:
    """Signal to noise (N,); 100 where errors are unknown, as networks take it."""
    return np.where(np.isfinite(prepared.snr), np.clip(prepared.snr, 1.0, 1e4), 100.0)


class _Method(nn.Module):
    """One method of a network as a network."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.network, self.name)(x)
