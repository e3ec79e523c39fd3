"""What every engine must do, fake programs included."""

import json
from collections.abc import Callable
from pathlib import Path

import engine_fakes as fakes
import numpy as np
import pytest

import starnet.synthesis.engines  # noqa: F401 - registers the members
from starnet.errors import GridError, LabelError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.contract import Synthesizer, build_synthesizer, engine_names

BUILD: dict[str, Callable[[Path], Synthesizer]] = {
    "pysme": lambda _: build_synthesizer("pysme", atmospheres=fakes.OneStar(), lines=fakes.lines()),
    "turbospectrum": lambda folder: build_synthesizer(
        "turbospectrum",
        atmospheres=fakes.OneStar(),
        lines=fakes.lines(),
        folder=fakes.turbospectrum(folder),
    ),
    "synspec": lambda folder: build_synthesizer(
        "synspec", atmospheres=fakes.OneStar(), lines=fakes.lines(), folder=fakes.synspec(folder)
    ),
    "korg": lambda folder: build_synthesizer(
        "korg", atmospheres=fakes.OneStar(), lines=fakes.lines(), julia=fakes.julia(folder)
    ),
    "grid": lambda folder: build_synthesizer("grid", path=fakes.npz_grid(folder / "grid.npz")),
}
PLACE = {"grid": 5188.0}
NAMES = ("teff", "logg", "fe_h")
STARS = Labels(NAMES, [[5777.0, 4.44, 0.0], [5000.0, 3.0, -1.0], [6000.0, 4.0, 0.2]])


@pytest.fixture(params=sorted(BUILD))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Synthesizer:
    if request.param == "pysme" and not fakes.has_pysme():
        pytest.skip("PySME is not installed")
    return BUILD[request.param](tmp_path)


def pixels(engine: Synthesizer) -> WavelengthGrid:
    return fakes.grid(PLACE.get(engine.name, 5195.0))


def test_every_adapter_is_in_this_test():
    assert set(BUILD) <= set(engine_names())


def test_spectra_have_shape_depth_and_labels(engine: Synthesizer):
    done: list[int] = []
    made = engine.synthesize(STARS, pixels(engine), progress=done.append, batch=2)
    assert made.normalized.shape == made.continuum.shape == (3, 161)
    assert done == [2, 3]
    assert np.all(made.normalized > -1e-6)
    assert np.all(made.normalized < 1.02)
    assert made.normalized.min() < 0.9  # there is a line
    assert 1e5 < np.median(made.continuum) < 1e8  # of a star like the Sun, per Angstrom
    assert np.array_equal(made.labels.values, STARS.values)
    assert made.spectra().meta["teff"][1] == 5000.0


def test_the_fine_grid_covers_and_is_vacuum(engine: Synthesizer):
    asked = pixels(engine)
    fine = engine.fine_grid(asked)
    wave = asked.to_vacuum().wavelength
    assert fine.medium == "vacuum"
    assert fine.sampling == "log"
    assert fine.wavelength[0] <= wave[0]
    assert fine.wavelength[-1] >= wave[-1]


def test_air_and_vacuum_pixels_give_the_same_spectrum(engine: Synthesizer):
    asked = pixels(engine)
    one = engine.synthesize(STARS[:1], asked).normalized
    other = engine.synthesize(STARS[:1], asked.to_vacuum()).normalized
    assert np.allclose(one, other, atol=2e-3)


def test_the_same_call_gives_the_same(engine: Synthesizer):
    one, other = (engine.synthesize(STARS[:1], pixels(engine)).normalized for _ in range(2))
    assert np.array_equal(one, other)


def test_outside_labels(engine: Synthesizer):
    far = Labels(NAMES, [[9000.0, 4.44, 0.0]])
    with pytest.raises(LabelError, match=r"[Oo]utside"):
        engine.synthesize(far, pixels(engine))
    made = engine.synthesize(far, pixels(engine), outside="clamp")
    assert made.labels.column("teff")[0] == 7000.0
    assert made.labels.column("logg")[0] == 4.44


def test_foreign_labels_and_nan(engine: Synthesizer):
    with pytest.raises(LabelError, match="snr"):
        engine.synthesize(
            Labels(("teff", "logg", "fe_h", "snr"), [[5777, 4.4, 0, 1]]), fakes.grid()
        )
    with pytest.raises(LabelError, match="lack"):
        engine.synthesize(Labels(NAMES, [[5777.0, np.nan, 0.0]]), pixels(engine))


def test_wavelengths_out_of_reach(engine: Synthesizer):
    with pytest.raises(GridError, match="covers"):
        engine.synthesize(STARS, fakes.grid(9000.0))


def test_rotation_is_applied_by_the_contract(engine: Synthesizer):
    slow = engine.synthesize(STARS[:1], pixels(engine)).normalized
    fast_labels = Labels((*NAMES, "vsini"), [[5777.0, 4.44, 0.0, 30.0]])
    fast = engine.synthesize(fast_labels, pixels(engine)).normalized
    assert fast.min() > slow.min() + 0.02


def test_description_is_json(engine: Synthesizer):
    said = engine.describe()
    assert said["engine"] == engine.name
    assert json.loads(json.dumps(said)) == said
