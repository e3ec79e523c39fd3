"""How unlike the training set a spectrum is: one number per star, above 1 for one in some hundred.

A network gives labels for anything. Up to four numbers speak against them:

- ``features``: the Mahalanobis distance, in units of that of a middling star, of the network's
  features from those that the emulator has for the predicted labels (a density of features given
  the labels), or where there is no emulator from their mean;
- ``pixels``: the chi-square of the reader's own fit of components and continuum;
- ``waves``: the same of means over windows, where errors of the continuum add up and noise and
  single lines do not;
- ``emulator``: the chi-square of the emulated spectrum (`inference.cycle`).

What they are for good stars of each signal to noise is fitted; the limits leave a given fraction
of good stars outside, all four together. Real spectra are not made ones: floors in the errors
(`_evidence`) and on the limits (`_ordinary.LEAST`) leave room for what is known to differ. The
score is the largest number over its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from starnet.artifact import Model
from starnet.errors import DataError, ModelError
from starnet.inference._evidence import (
    emulated_features,
    features_of,
    residual_evidence,
    snr_of,
)
from starnet.inference._ordinary import (
    KNOTS,
    SHARPEST,
    at_knots,
    directions_of,
    distance,
    fit_limits,
    local_moments,
    project,
)
from starnet.inference.drawn import draw_spectra
from starnet.models import Reader
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
SHARE = 0.005
"""Fraction of good stars that may be flagged: with the other bits they are one in a hundred."""


class Labeller(Protocol):
    """What `Novelty.fit` needs of a predictor."""

    model: Model
    emulator: Emulator | None

    def assign(self, spectra: Spectra) -> Any:
        """Who labels spectra, and the spectra as it takes them."""
        ...

    def predict(self, spectra: Spectra) -> Any:
        """A prediction with ``labels`` and, where there is an emulator, ``chi2``."""
        ...


@dataclass(frozen=True, eq=False)
class Novelty:
    """Where the good stars of one model are; made by `fit`.

    Attributes
    ----------
    names : tuple of str
        Of the S numbers that count.
    against : "emulator" or "mean"
        What features are held against.
    directions : array (D, F)
        What features are projected on; empty for the first D.
    centres, whitening : arrays (B, D), (B, D, D)
        Of features, at the signal to noise of each knot.
    limits : array (B, S)
        Of each number, at each knot.
    share : float
        Fraction of good stars beyond, all numbers together.
    n_stars : int
        It was fitted to.
    """

    names: tuple[str, ...]
    against: str
    directions: Array
    centres: Array
    whitening: Array
    limits: Array
    share: float
    n_stars: int

    @classmethod
    def fit(
        cls,
        predictor: Labeller,
        spectra: Spectra | None = None,
        *,
        n: int = 2000,
        seed: int = 0,
        share: float = SHARE,
    ) -> Novelty:
        """From good stars, given or drawn.

        Parameters
        ----------
        predictor : Predictor
            Whose model (and emulator, which shall be there or not when scoring, too) it is for.
        spectra : Spectra, optional
            Of good stars over the signal to noise in use, which the predictor takes; at least
            ``3 / share`` of them. Default: ``n`` are drawn as the model's recipe says
            (`draw_spectra`), in 25 ms each.
        share : float
            Fraction of them that the limits leave outside.

        Raises
        ------
        DataError
            If there are too few stars that have labels.
        ConfigError
            If spectra are to be drawn, and the model has no recipe.
        """
        if not 0 < share < 0.5:
            raise DataError(f"share must be a fraction above 0 and below 0.5; received {share}.")
        if spectra is None:
            if predictor.emulator is None:
                raise DataError(
                    f"The model {predictor.model.name!r} has no emulator to draw stars from; give "
                    "spectra of good stars."
                )
            spectra, _ = draw_spectra(predictor.model, predictor.emulator, n, seed=seed)
        ready: Spectra = predictor.assign(spectra)[1]
        found = predictor.predict(ready)
        good = np.all(np.isfinite(found.labels.values), axis=1)
        need = int(np.ceil(3 / share))
        if good.sum() < need:
            raise DataError(
                f"Limits that leave {share:g} of good stars outside need {need} stars with "
                f"labels; received {int(good.sum())} of {len(good)} spectra. Give more, or allow "
                "a larger share."
            )
        rows = np.flatnonzero(good)
        chi2 = None if found.chi2 is None else found.chi2[rows]
        prepared = predictor.model.prepare(ready[rows])
        return cls._of(predictor, prepared, found.labels[rows], chi2, share)

    @classmethod
    def _of(
        cls,
        predictor: Labeller,
        prepared: Spectra,
        labels: Labels,
        chi2: Array | None,
        share: float,
    ) -> Novelty:
        model = predictor.model
        inputs = model.inputs(prepared)
        features = features_of(model, inputs)
        expected = emulated_features(model, predictor.emulator, labels)
        off = features if expected is None else features - expected
        directions = directions_of(off, isinstance(model.network, Reader))
        snr = snr_of(prepared)
        projected = project(off, directions)
        centres, whitening = local_moments(projected, np.minimum(snr, SHARPEST))
        columns = {"features": distance(projected, snr, centres, whitening)}
        if isinstance(model.network, Reader):
            columns |= residual_evidence(model.network, inputs, features)
        if chi2 is not None and np.isfinite(chi2).mean() > 0.9:
            columns["emulator"] = np.where(np.isfinite(chi2), chi2, 1.0)
        limits = fit_limits(columns, snr, share)
        return cls(
            tuple(columns),
            "mean" if expected is None else "emulator",
            directions,
            centres,
            whitening,
            limits,
            float(share),
            len(labels),
        )

    def evidence(
        self,
        model: Model,
        prepared: Spectra,
        labels: Labels,
        *,
        emulator: Emulator | None = None,
        chi2: Array | None = None,
        features: Array | None = None,
    ) -> dict[str, Array]:
        """Each number over its limit, (N,) under its name; see `score`."""
        if not len(prepared):
            return {name: np.zeros(0) for name in self.names}
        inputs = model.inputs(prepared)
        seen = features_of(model, inputs) if features is None else features
        columns: dict[str, Array] = {}
        expected = None
        if self.against == "emulator":
            expected = emulated_features(model, emulator, labels)
        if self.against == "mean" or expected is not None:
            columns["features"] = self._features(seen, expected, snr_of(prepared))
        if isinstance(model.network, Reader) and "waves" in self.names:
            seen = seen[:, : model.network.config.components]
            columns |= residual_evidence(model.network, inputs, seen)
        if chi2 is not None and "emulator" in self.names:
            columns["emulator"] = np.asarray(chi2, dtype=float)
        at = self._limits_at(snr_of(prepared))
        return {n: columns[n] / at[:, i] for i, n in enumerate(self.names) if n in columns}

    def score(
        self,
        model: Model,
        prepared: Spectra,
        labels: Labels,
        *,
        emulator: Emulator | None = None,
        chi2: Array | None = None,
        features: Array | None = None,
    ) -> Array:
        """How unlike the training set spectra are, (N,): above 1 for ``share`` of good stars.

        Parameters
        ----------
        model : Model
            That it was fitted for.
        prepared : Spectra
            N spectra as `Model.prepare` gives them.
        labels : Labels
            Predicted.
        emulator : Emulator, optional
            Without, numbers that need it are left out; so they are without ``chi2``.
        chi2 : array (N,), optional
            Of the cycle.
        features : array (N, K or more), optional
            Those of the reader (`Reader.features`), if they have been computed already.

        Returns
        -------
        array (N,)
            NaN where there is no label, or no number could be had.
        """
        columns = self.evidence(
            model, prepared, labels, emulator=emulator, chi2=chi2, features=features
        )
        if not columns:
            return np.full(len(prepared), np.nan)
        stacked = np.stack(list(columns.values()))
        score = np.fmax.reduce(stacked, axis=0)
        known = np.any(np.isfinite(labels.values), axis=1)
        return np.where(known, score, np.nan)

    def _features(self, seen: Array, expected: Array | None, snr: Array) -> Array:
        width = self.directions.shape[1] if self.directions.size else self.centres.shape[1]
        if seen.shape[1] < width:
            raise ModelError(
                f"This novelty score is of a network with {width} features or more; the model has "
                f"{seen.shape[1]}. Fit it again (Novelty.fit) for this model."
            )
        if expected is not None:
            seen = seen[:, : expected.shape[1]] - expected
        projected = project(seen, self.directions)[:, : self.centres.shape[1]]
        return distance(projected, snr, self.centres, self.whitening)

    def _limits_at(self, snr: Array) -> Array:
        return np.exp(at_knots(np.log(self.limits), snr))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, some 60 kB; numbers to 4 digits."""
        return {
            "names": list(self.names),
            "against": self.against,
            "directions": _rounded(self.directions),
            "centres": _rounded(self.centres),
            "whitening": _rounded(self.whitening),
            "limits": _rounded(self.limits),
            "share": self.share,
            "n_stars": self.n_stars,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Novelty:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelError
            If something is missing or of another shape.
        """
        try:
            arrays = {k: np.asarray(data[k], dtype=float) for k in _ARRAYS}
            shapes = arrays["centres"].shape, arrays["limits"].shape
            names = tuple(data["names"])
            if shapes != ((len(KNOTS), shapes[0][1]), (len(KNOTS), len(names))):
                raise ValueError(f"arrays have shapes {shapes}")
            return cls(
                names=names, against=str(data["against"]), share=float(data["share"]),
                n_stars=int(data["n_stars"]), **arrays,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelError(
                f"The model's novelty score cannot be read: {error}. Fit it again (Novelty.fit)."
            ) from error


_ARRAYS = ("directions", "centres", "whitening", "limits")


def _rounded(values: Array) -> Any:
    return [_rounded(v) for v in values] if values.ndim > 1 else [float(f"{v:.4g}") for v in values]
