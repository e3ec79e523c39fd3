"""The Cannon behind the contract of methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from starnet.baselines.cannon.censor import allowed_labels, plain_windows
from starnet.baselines.cannon.choose import choose_strength
from starnet.baselines.cannon.pixels import Pixels, fit_pixels
from starnet.baselines.cannon.stars import Solved, solve_stars
from starnet.baselines.cannon.terms import Terms
from starnet.baselines.contract import Fitted, Method, Report, register, usable, weights
from starnet.errors import ConfigError, TrainingError
from starnet.spectra import Labels, Spectra, WavelengthGrid

Array = NDArray[Any]
ORDERS = (1, 2, 3)
POINTS = 256
"""Training stars at whose labels a fit may begin, at most."""
EXACT = 1e12
"""Inverse variance of pixels in spectra without any errors: then the scatter holds all noise."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedCannon(Fitted):
    """Coefficients and scatter of every pixel.

    Attributes
    ----------
    terms : Terms
    pixels : Pixels
    bounds : array (L, 2)
        Scaled labels that are allowed: the range of training, wider by the margin.
    points : array (K, L)
        Scaled labels where fits may begin; the pivot first.
    strength : float
        Of regularisation, as given or chosen.
    scores : array (S,)
        Of the strengths that were tried: ln L of the stars left out, per pixel and star.
    """

    method: Cannon
    terms: Terms
    pixels: Pixels
    bounds: Array
    points: Array
    strength: float = 0.0
    scores: Array = field(default_factory=lambda: np.zeros(0))

    def predict(self, spectra: Spectra) -> Labels:
        """Labels (N, L) with one-sigma errors from the covariance at the solution.

        NaN where no start has converged, or fewer pixels have weight than there are labels. A label
        at the edge of the bounds stays there. Where a spectrum knows no errors, its own are scaled
        by the root of chi-square per degree of freedom where that is above 1.
        """
        solved = self.solve(spectra)
        variance = np.diagonal(solved.covariance, axis1=1, axis2=2)
        unknown = ~np.any(~spectra.mask & (spectra.ivar > 0), axis=1)
        freedom = np.maximum(solved.pixels - len(self.names), 1)
        factor = np.where(unknown, np.maximum(solved.chi2 / freedom, 1.0), 1.0)
        errors = self.terms.scales * np.sqrt(variance * factor[:, None])
        values = self.terms.unscaled(solved.x)
        return Labels(self.names, values, np.where(np.isfinite(values), errors, np.nan))

    def solve(self, spectra: Spectra) -> Solved:
        """Solutions with covariances, chi-square and flags; labels in units of their scales.

        Raises
        ------
        GridError
            If the spectra are on other pixels than those of the fit.
        """
        self.check(spectra)
        return solve_stars(
            spectra.flux,
            inverse_variance(spectra),
            self.pixels,
            self.terms,
            bounds=self.bounds,
            points=self.points,
            starts=self.method.starts,
        )

    def flux(self, labels: Labels) -> Array:
        """Model spectra (N, P) at labels; NaN in pixels that were not learnt."""
        x = self.terms.scaled(labels.select(self.names).values)
        flux = self.terms.values(x) @ self.pixels.coefficients.T
        return np.where(np.isfinite(self.pixels.scatter2), flux, np.nan)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """As the contract says."""
        arrays = {
            "pivots": self.terms.pivots,
            "scales": self.terms.scales,
            "coefficients": self.pixels.coefficients,
            "scatter2": self.pixels.scatter2,
            "bounds": self.bounds,
            "points": self.points,
            "scores": self.scores,
        }
        return {"strength": self.strength}, arrays

    @classmethod
    def from_state(
        cls,
        method: Any,
        names: tuple[str, ...],
        grid: WavelengthGrid,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Array],
    ) -> FittedCannon:
        """As the contract says."""
        return cls(
            method=method,
            names=names,
            grid=grid,
            terms=Terms(method.order, arrays["pivots"], arrays["scales"]),
            pixels=Pixels(arrays["coefficients"], arrays["scatter2"]),
            bounds=arrays["bounds"],
            points=arrays["points"],
            strength=float(settings["strength"]),
            scores=arrays["scores"],
        )


@register(FittedCannon)
@dataclass(frozen=True, kw_only=True)
class Cannon(Method):
    """The Cannon, and with ``regularization`` or ``censor`` The Cannon 2.

    Errors of the training labels are ignored, as in the papers.

    Parameters
    ----------
    order : 1, 2 or 3
        Of the polynomial.
    regularization : float or tuple of float
        Price of the coefficients' absolute sum, 0 for none. Of several, the one is taken under
        which a fifth of the stars, left out for this, are most likely; then all stars are fitted.
    censor : mapping of label to ((low, high), ...)
        Wavelengths in Angstrom, in the medium of the spectra, where alone the label may act.
    starts : int
        From how many points each star is fitted: the pivot, and those of up to 256 training stars
        whose model spectra are nearest.
    margin : float
        Labels are held within the range of training, wider on either side by this part of it.
    """

    kind: ClassVar[str] = "cannon"
    order: int = 2
    regularization: float | tuple[float, ...] = 0.0
    censor: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    starts: int = 3
    margin: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.regularization, list):
            object.__setattr__(self, "regularization", tuple(self.regularization))
        if self.order not in ORDERS:
            raise ConfigError(f"order of the cannon must be 1, 2 or 3; received {self.order!r}.")
        if not self.strengths or any(not 0 <= s < np.inf for s in self.strengths):
            raise ConfigError(
                "regularization of the cannon must be a number from 0 up, or several; received "
                f"{self.regularization!r}."
            )
        if self.starts < 1 or not 0 <= self.margin < np.inf:
            raise ConfigError(
                "the cannon needs starts of 1 or more and a margin of 0 or more; received "
                f"{self.starts!r} and {self.margin!r}."
            )
        object.__setattr__(self, "censor", plain_windows(self.censor))

    @property
    def strengths(self) -> tuple[float, ...]:
        """Of regularisation, all that are to be tried."""
        given = self.regularization
        return tuple(given) if isinstance(given, tuple) else (given,)

    def fit(
        self, spectra: Spectra, labels: Labels, *, seed: int = 0, report: Report | None = None
    ) -> FittedCannon:
        """As the contract says.

        Raises
        ------
        TrainingError
            If there are no more stars than terms, and no regularisation.
        """
        rows, kept = usable(spectra, labels, self)
        terms = Terms.of(kept.values, self.order)
        if len(rows) <= len(terms) and min(self.strengths) == 0:
            raise TrainingError(
                f"The cannon of order {self.order} with {len(labels.names)} labels has "
                f"{len(terms)} coefficients a pixel and needs at least {len(terms) + 1} stars; "
                f"received {len(rows)}. Lower the order, or set regularization."
            )
        acts = allowed_labels(self.censor, labels.names, spectra.grid)
        allowed = None if acts is None else terms.allowed(acts)
        x = terms.scaled(kept.values)
        used = spectra if len(rows) == len(spectra) else spectra[rows]
        flux, ivar, design = used.flux, inverse_variance(used), terms.values(x)
        strength, scores = choose_strength(
            flux, ivar, design, allowed, self.strengths, used.stars, seed=seed, report=report
        )
        pixels = fit_pixels(flux, ivar, design, allowed=allowed, strength=strength)
        low, high = x.min(axis=0), x.max(axis=0)
        wider = self.margin * (high - low)
        chosen = np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(int))
        return FittedCannon(
            method=self,
            names=labels.names,
            grid=spectra.grid,
            terms=terms,
            pixels=pixels,
            bounds=np.stack([low - wider, high + wider], axis=1),
            points=np.vstack([np.zeros(x.shape[1]), x[chosen]]),
            strength=strength,
            scores=scores,
        )


def inverse_variance(spectra: Spectra) -> Array:
    """Inverse variances (N, P) for the fits: 0 where masked.

    Good pixels of unknown error are filled as `weights` does; where a spectrum knows none at all
    they are taken as exact, so that the scatter of the pixels is all the noise there is.
    """
    odd = np.flatnonzero(np.any(~spectra.mask & (spectra.ivar == 0), axis=1))
    if not odd.size:
        return spectra.ivar
    ivar = np.array(spectra.ivar)
    for at in np.array_split(odd, 1 + len(odd) // 256):
        part = spectra[at]
        known = np.any(part.ivar > 0, axis=1)[:, None]
        ivar[at] = np.where(known, weights(part), np.where(part.mask, 0.0, EXACT))
    return ivar
