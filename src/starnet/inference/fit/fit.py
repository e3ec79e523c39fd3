"""Labels that fit thousands of spectra best, by an emulator's slopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike, NDArray

from starnet._version import __version__
from starnet.errors import ConfigError
from starnet.inference.fit.batches import Batches
from starnet.inference.fit.collect import Collected
from starnet.inference.fit.draw import Drawing
from starnet.inference.fit.parameters import choose
from starnet.inference.fit.prepare import prepare
from starnet.inference.fit.result import FitResult
from starnet.inference.fit.starts import known_labels
from starnet.models.stored import weights_digest
from starnet.spectra import Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
Tick = Callable[[int, int], None]


def fit_spectra(
    emulator: Emulator | str,
    spectra: Spectra,
    *,
    start: object = None,
    free: Sequence[str] | None = None,
    fixed: Mapping[str, ArrayLike] | None = None,
    starts: int = 3,
    rv: bool = True,
    broadening: bool = True,
    continuum_order: int | None = 4,
    priors: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    max_iterations: int = 60,
    max_rv: float = 30.0,
    max_broadening: float = 60.0,
    max_masked: float = 0.3,
    max_excess: float = 0.05,
    progress: Tick = lambda done, total: None,
) -> FitResult:
    """Maximum-likelihood labels of N spectra, with covariance and chi-square.

    Chi-square is minimised over the free labels, a velocity, the width of an extra Gaussian and a
    continuum on each chip, by the steps of Levenberg and Marquardt with analytic slopes; see
    `starnet.inference.fit.levenberg`. Masked pixels do not count. Labels stay inside the
    emulator's hull, and those at its edge are flagged.

    Parameters
    ----------
    emulator : Emulator or str
        Or the name of one of the package, or its folder.
    spectra : Spectra
        In the rest frame, on any grid within the emulator's wavelengths whose line spread is no
        narrower than the emulator's. The flux may be in any unit. Where no pixel has a known
        error, all weigh the same and label errors are scaled by the residuals; where some have,
        the others are not used.
    start : Labels or Prediction, optional
        Labels of the N stars to begin with, such as a network's. NaN and labels that are not
        there come from a coarse set of spectra that is compared with each star.
    free : sequence of str, optional
        Labels to fit; the others keep their start values. Default: all that are not fixed.
    fixed : mapping, optional
        Values of labels that are held, each a number or one for each star; also ``rv`` and
        ``broadening`` (km/s).
    starts : int
        Starts of each star; the best end is taken. One is enough with a good ``start``.
    rv, broadening : bool
        Whether a velocity, and a Gaussian beyond the line spread (it stands for vmac and vsini),
        are fitted. Without both the fit is faster.
    continuum_order : int or None
        Degree of the Legendre polynomial of each chip, which multiplies the model. None: the
        spectra are normalised, and are taken as they are.
    priors : mapping, optional
        ``{label: (mean, sigma)}`` of normal priors of free labels.
    max_iterations : int
        Evaluations at most, of each start.
    max_rv, max_broadening : float
        Bounds, km/s.
    max_masked, max_excess : float
        Beyond these fractions of masked pixels, and of residuals beyond the noise, labels are
        flagged `LabelFlag.MANY_MASKED` and `LabelFlag.POOR_FIT`.
    progress : callable
        Called with the numbers of spectra that are done and of all.

    Raises
    ------
    FrameError
        If the spectra are not in the rest frame.
    GridError
        If the emulator does not reach them, or its line spread is broader.
    DataError
        If ``continuum_order`` is None and they are not normalised.
    LabelError, ConfigError
        If labels or settings are not what they should be.
    """
    emulator = Emulator.load(emulator) if isinstance(emulator, str) else emulator
    _check_settings(starts, continuum_order, max_iterations)
    n = len(spectra)
    parameters = choose(
        emulator, n, free=free, fixed=fixed, rv=rv, broadening=broadening, max_rv=max_rv,
        max_broadening=max_broadening, priors=priors,
    )  # fmt: skip
    known = known_labels(emulator, start, n)
    size = len(parameters.free) + len(parameters.motion)
    prepared = prepare(emulator, spectra, continuum_order, size)
    out = Collected.of(parameters, prepared, continuum_order)
    drawing = Drawing(emulator, spectra.grid, parameters, continuum_order)
    with torch.no_grad():
        batches = Batches(drawing, prepared, known, starts, max_iterations)
        for rows, stars, end in batches:
            assert batches.problem is not None
            out.put(batches.problem, rows, stars, end)
            progress(int(rows[-1]) + 1, n)
    progress(n, n)
    about = {
        "model": f"fit of {emulator.title}",
        "model_version": weights_digest(emulator.network),
        "starnet_version": __version__,
    }
    return out.result(about, drawing, max_masked, max_excess)


def _check_settings(starts: int, order: int | None, steps: int) -> None:
    for name, value in (("starts", starts), ("max_iterations", steps)):
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be an integer of at least 1; received {value!r}.")
    if order is not None and not (isinstance(order, int) and 0 <= order <= 30):
        raise ConfigError(
            f"continuum_order must be an integer from 0 to 30, or None; received {order!r}."
        )
