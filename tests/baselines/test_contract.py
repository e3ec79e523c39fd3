"""One contract for every registered method, on small made-up stars.

A method joins by registering. Where its defaults are too large or too slow for 60 stars on 120
pixels, it has settings in `SMALL`; where it reads only spectra of its own kind, a maker in
`STARS`; where it needs an optional package, the name of that in `NEEDS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from starnet.baselines import METHODS, Fitted, Method, load_fitted
from starnet.errors import ConfigError, GridError, LabelError, ModelError, TrainingError
from starnet.spectra import Labels, Spectra, WavelengthGrid
from tests.baselines.optical import optical_stars

NAMES = ("teff", "logg", "fe_h")
N_TRAIN, N_TEST = 60, 12


def made_stars() -> tuple[Spectra, Labels]:
    """72 giants whose six broad lines answer smoothly to three labels, at S/N 200."""
    rng = np.random.default_rng(6)
    n, n_pixels = N_TRAIN + N_TEST, 120
    t, g, m = rng.uniform(-1, 1, (3, n))
    values = np.column_stack([4700 + 500 * t, 2.5 + 1.2 * g, -0.3 + 0.4 * m])
    rise = [t, g, m, t + 0.5 * m, g - 0.5 * t, m - 0.4 * g + 0.3 * t * m]
    depth = np.stack([0.3 + 0.12 * r + 0.02 * r**2 for r in rise], axis=1)  # (n, 6)
    pixel = np.arange(n_pixels)
    lines = np.exp(-0.5 * ((pixel - 20.0 * np.arange(6)[:, None] - 10.0) / 3.0) ** 2)
    flux = 1 - depth @ lines + 0.005 * rng.standard_normal((n, n_pixels))
    mask = rng.random((n, n_pixels)) < 0.02
    grid = WavelengthGrid.log10(4.18, 6e-6, n_pixels, "vacuum")
    return Spectra(grid, flux, np.full(flux.shape, 0.005**-2), mask), Labels(NAMES, values)


SMALL: dict[str, dict[str, Any]] = {
    "boosting": {"components": 8, "trees": 15},
    "gp": {"components": 8, "steps": 10},
    "grid": {"components": 12},
    "matisse": {"components": 12, "neighbours": (20, 40), "strengths": (1e-3,)},
    "neighbours": {"components": 12, "neighbours": (20, 40), "strengths": (1e-3,)},
    "payne": {"steps": 100, "rounds": 1, "hidden": (16,)},
    "pca-regression": {"components": 12},
}
"""Settings of a method for the stars of these tests."""
STARS: dict[str, Callable[[], tuple[Spectra, Labels]]] = {"equivalent-widths": optical_stars}
"""Makers of 72 other stars, for methods that read only spectra of their own kind."""
NEEDS: dict[str, str] = {"boosting": "sklearn"}
"""Optional packages of methods."""


@dataclass(frozen=True)
class Case:
    """A method, what it learnt, and stars it has not seen."""

    method: Method
    spectra: Spectra
    labels: Labels
    fitted: Fitted
    others: Spectra
    truth: Labels

    def spread(self) -> np.ndarray:
        """Of the training labels, (L,)."""
        return np.std(self.labels.values, axis=0)

    def same(self, one: Labels, other: Labels, tolerance: float = 1e-4) -> None:
        """Both are equal within a fraction of the spread of labels, missing values included."""
        for a, b in ((one.values, other.values), (one.errors, other.errors)):
            np.testing.assert_allclose(a / self.spread(), b / self.spread(), atol=tolerance, rtol=0)


@pytest.fixture(scope="module", params=sorted(METHODS))
def case(request: pytest.FixtureRequest) -> Case:
    """Each method in turn, fitted once."""
    kind = request.param
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    spectra, labels = STARS.get(kind, made_stars)()
    method = METHODS[kind](**SMALL.get(kind, {}))
    train, test = slice(0, N_TRAIN), slice(N_TRAIN, None)
    fitted = method.fit(spectra[train], labels[train], seed=1)
    return Case(method, spectra[train], labels[train], fitted, spectra[test], labels[test])


@pytest.fixture(scope="module")
def predicted(case: Case) -> Labels:
    """Labels of the stars it has not seen."""
    return case.fitted.predict(case.others)


def test_settings_are_plain_and_come_back(case):
    data = json.loads(json.dumps(case.method.to_dict()))
    assert data["method"] == case.method.kind
    assert Method.from_dict(data) == case.method


def test_unknown_settings_are_refused(case):
    with pytest.raises(ConfigError, match="has no setting wings"):
        Method.from_dict(case.method.to_dict() | {"wings": 2})
    with pytest.raises(ConfigError, match="no method 'wings'"):
        Method.from_dict({"method": "wings"})


def test_gives_labels_in_order_with_errors(case, predicted):
    assert case.fitted.method == case.method
    assert predicted.names == case.fitted.names == case.labels.names
    assert predicted.values.shape == (len(case.others), len(case.labels.names))
    assert np.isfinite(predicted.values).all()
    assert np.all(predicted.errors > 0)


def test_knows_more_than_the_mean(case, predicted):
    apart = predicted.values - case.truth.values
    rms = np.sqrt(np.mean(apart**2, axis=0))
    assert np.all(rms < 0.9 * np.std(case.truth.values, axis=0)), dict(
        zip(case.labels.names, rms, strict=True)
    )


def test_same_seed_same_answer(case, predicted):
    again = case.method.fit(case.spectra, case.labels, seed=1)
    case.same(again.predict(case.others), predicted, 1e-9)


def test_leaves_what_it_is_given(case):
    copies = [np.array(a) for a in arrays(case)]
    said: list[str] = []
    case.method.fit(case.spectra, case.labels, seed=2, report=said.append)
    case.fitted.predict(case.others)
    for before, after in zip(copies, arrays(case), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(isinstance(line, str) and "\n" not in line for line in said)


def arrays(case: Case) -> list[np.ndarray]:
    """All that it is given."""
    batches = [[s.flux, s.ivar, s.mask] for s in (case.spectra, case.others)]
    return [*batches[0], *batches[1], case.labels.values, case.labels.errors]


def test_rows_do_not_know_each_other(case, predicted):
    order = np.arange(len(case.others))[::-1]
    case.same(case.fitted.predict(case.others[order]), predicted[order])
    case.same(case.fitted.predict(case.others[3]), predicted[3])
    assert len(case.fitted.predict(case.others[np.array([], dtype=int)])) == 0


def test_masked_pixels_and_unlabelled_stars_tell_nothing(case, predicted):
    """Neither in learning nor in reading, and stars without any label are as if absent."""
    values = np.vstack([case.labels.values, np.full((2, len(case.labels.names)), np.nan)])
    more = spoilt(case.spectra)
    joined = replace_rows(more, np.vstack([more.flux, 0.5 * more.flux[:2]]))
    fitted = case.method.fit(joined, Labels(case.labels.names, values), seed=1)
    case.same(fitted.predict(spoilt(case.others)), predicted)


def spoilt(spectra: Spectra) -> Spectra:
    """With nonsense under the mask."""
    return spectra.replace(flux=np.where(spectra.mask, 37.0, spectra.flux))


def replace_rows(spectra: Spectra, flux: np.ndarray) -> Spectra:
    """More rows of flux, with the errors and masks of the first ones."""
    rows = np.arange(len(flux)) % len(spectra)
    return Spectra(spectra.grid, flux, spectra.ivar[rows], spectra.mask[rows])


def test_an_empty_spectrum_is_nan_and_alone(case, predicted):
    mask = case.others.mask.copy()
    mask[4] = True
    got = case.fitted.predict(case.others.replace(mask=mask))
    assert np.isnan(got.values[4]).all()
    assert np.isnan(got.errors[4]).all()
    rest = np.delete(np.arange(len(mask)), 4)
    case.same(got[rest], predicted[rest])


def test_some_missing_labels_are_left_out(case):
    values = case.labels.values.copy()
    values[5, 0] = values[17, 2] = np.nan
    fitted = case.method.fit(case.spectra, Labels(case.labels.names, values), seed=1)
    assert np.isfinite(fitted.predict(case.others).values).all()


def test_works_without_errors(case):
    """Libraries such as MILES give none; then all good pixels count alike."""
    blank = case.spectra.replace(ivar=np.zeros_like(case.spectra.ivar))
    others = case.others.replace(ivar=np.zeros_like(case.others.ivar))
    got = case.method.fit(blank, case.labels, seed=1).predict(others)
    apart = np.sqrt(np.mean((got.values - case.truth.values) ** 2, axis=0))
    assert np.all(apart < 0.9 * np.std(case.truth.values, axis=0))
    assert np.all(got.errors > 0)


def test_too_few_stars(case):
    few = max(1, case.method.fewest // 2)
    with pytest.raises(TrainingError, match="at least"):
        case.method.fit(case.spectra[:few], case.labels[:few])


def test_labels_that_do_not_fit(case):
    with pytest.raises(LabelError, match="needs its labels"):
        case.method.fit(case.spectra, case.labels[:-1])
    values = case.labels.values.copy()
    values[:, 1] = 2.0
    with pytest.raises(LabelError, match="is the same for all stars"):
        case.method.fit(case.spectra, Labels(case.labels.names, values))


def test_other_pixels_are_refused(case):
    grid = case.others.grid
    shifted = replace(case.others, grid=grid.shifted(300.0))
    air = replace(case.others, grid=WavelengthGrid(grid.wavelength, other_medium(grid)))
    for strange in (shifted, air, case.others.select_pixels(slice(0, 50))):
        with pytest.raises(GridError, match="Resample"):
            case.fitted.predict(strange)


def other_medium(grid: WavelengthGrid) -> Any:
    """Air for vacuum, vacuum for air."""
    return "air" if grid.medium == "vacuum" else "vacuum"


def test_saved_and_loaded_gives_the_same(case, predicted, tmp_path):
    path = case.fitted.save(tmp_path / "method.safetensors")
    back = load_fitted(path)
    assert type(back) is type(case.fitted)
    assert back.method == case.method
    assert back.names == case.fitted.names
    assert back.grid.matches(case.fitted.grid)
    case.same(back.predict(case.others), predicted, 1e-12)


def test_damaged_files_are_refused(case, tmp_path):
    path = case.fitted.save(tmp_path / "method.safetensors")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"teff,logg\n4000,2\n"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is not a saved method, or is damaged"):
            load_fitted(path)
    with pytest.raises(ModelError, match="There is no file"):
        load_fitted(tmp_path / "absent.safetensors")
