"""What every transform shall do, one by one, for each of them."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from starnet.errors import ConfigError
from starnet.preprocess import (
    TRANSFORMS,
    AddNoise,
    ChipMedian,
    ClipFlux,
    ContinuumShape,
    DopplerShift,
    FillMasked,
    InterpolateMasked,
    LineJitter,
    LSFJitter,
    MaskPixels,
    MaskRandom,
    MatchLSF,
    Pipeline,
    PolynomialContinuum,
    Resample,
    RunningQuantile,
    RVJitter,
    SelectPixels,
    SplineContinuum,
    ToRest,
    Transform,
    _rows,
)
from starnet.spectra import Spectra, WavelengthGrid

from .conftest import CHIPS, awkward_grid

FINER = WavelengthGrid.linear(5030.0, 0.7, 260, "air")


@dataclass(frozen=True)
class Case:
    """A transform, and what it may do besides the rule."""

    transform: Transform
    moves: bool = False  # pixels of the result are not those of the input
    masks: bool = False  # masks good pixels of a clean spectrum on purpose
    whole_row: bool = False  # a number of the whole row is used (its median), by its docstring

    @property
    def name(self) -> str:
        return repr(self.transform)[:60]


CASES = [
    Case(ChipMedian()),
    Case(ChipMedian(masked_as_zero=True)),
    Case(SplineContinuum(intervals=4)),
    Case(SplineContinuum(spacing=12.0, weighted=False)),
    Case(RunningQuantile(30.0, 0.8)),
    Case(RunningQuantile(25, unit="pixel")),
    Case(PolynomialContinuum(order=2)),
    Case(PolynomialContinuum(ranges=((5010, 5060), (5120, 5230), (5235, 5250)), order=1)),
    Case(PolynomialContinuum(pixels=tuple(range(0, 201, 2)), order=1)),
    Case(DopplerShift(120.0), moves=True, masks=True),
    Case(DopplerShift(-33.0, frame="rest", kind="linear"), moves=True, masks=True),
    Case(ToRest(), moves=True, masks=True),
    Case(Resample(FINER), moves=True, masks=True),
    Case(MatchLSF(resolution=1000.0)),
    Case(MatchLSF(fwhm=2.9, max_masked=0.2)),
    Case(InterpolateMasked()),
    Case(FillMasked(1.0)),
    Case(FillMasked("median")),
    Case(SelectPixels(((3, 60), (70, 99), (120, 201))), moves=True),
    Case(SelectPixels((5020.0, 5200.0), unit="angstrom", medium="air"), moves=True),
    Case(MaskPixels((5030.0, 5040.0)), masks=True),
    Case(ClipFlux(30.0, 41.0), masks=True),
    Case(ClipFlux(low=39.0, action="clip")),
    Case(AddNoise(snr=(5, 20)), whole_row=True),
    Case(AddNoise(from_ivar=True)),
    Case(ContinuumShape(0.1, 3)),
    Case(RVJitter(30.0), moves=True, masks=True),
    Case(RVJitter(30.0, kind="linear"), moves=True, masks=True),
    Case(LSFJitter(fraction=(0.1, 0.5))),
    Case(LSFJitter(pixels=(0.5, 1.5))),
    Case(LineJitter((0.1, 0.5))),
    Case(MaskRandom(0.2, 3), masks=True),
    Case(Pipeline((ToRest(), ChipMedian(), AddNoise(snr=30))), True, True, True),
]
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def run(case: Case, spectra: Spectra, seed: int = 1) -> Spectra:
    return case.transform(spectra, np.random.default_rng(seed))


def chip_of(grid: WavelengthGrid) -> np.ndarray:
    """Number of the awkward grid's chip at each pixel of another grid; -1 between chips."""
    out = np.full(grid.n_pixels, -1)
    awkward = awkward_grid()
    wave = grid.to("vacuum").wavelength
    for i, (a, b) in enumerate(CHIPS):
        edges = _rows.chip_edges(awkward.wavelength[a:b])
        out[(wave >= edges[0]) & (wave <= edges[-1])] = i
    return out


def test_every_transform_has_a_case():
    assert {type(case.transform).__name__ for case in CASES} == set(TRANSFORMS)


@each
def test_survives_json(case, awkward):
    text = json.dumps(case.transform.to_dict())
    again = Transform.from_dict(json.loads(text))
    assert again == case.transform
    assert hash(again) == hash(case.transform)
    np.testing.assert_array_equal(
        again(awkward, np.random.default_rng(1)).flux, run(case, awkward).flux
    )


@each
def test_returns_what_it_promises(case, awkward):
    out = run(case, awkward)
    grid, frame = case.transform.output_grid(awkward.grid, awkward.frame)
    assert out.frame == frame
    assert out.grid.matches(grid, tolerance=0)
    assert out.grid.chips == grid.chips
    assert (out.grid.lsf is None) == (grid.lsf is None)
    assert out.grid.lsf is None or out.grid.lsf.matches(grid.lsf)
    assert list(out.ids) == list(awkward.ids)
    assert out.meta.colnames == awkward.meta.colnames
    assert out.flux.shape == (7, grid.n_pixels)


@each
def test_masks_nothing_of_a_clean_spectrum_without_reason(case, awkward):
    out = run(case, awkward)
    inside = chip_of(out.grid) >= 0
    share = out.mask[0, inside].mean()
    assert share < (0.5 if case.masks else 1e-9)
    assert np.all(out.ivar[0][~out.mask[0]] > 0)


@each
def test_unmasks_no_pixel(case, awkward):
    out = run(case, awkward)
    assert out.mask[5].all()
    assert out.mask[4][chip_of(out.grid) == 1].all()
    if not case.moves:
        assert np.all(out.mask >= awkward.mask)


@each
def test_unknown_errors_stay_unknown(case, awkward):
    out = run(case, awkward)
    assert not out.ivar[2].any()
    assert not out.mask[2].all()


@each
def test_flux_of_masked_pixels_goes_nowhere(case, awkward):
    wild = awkward.replace(flux=np.where(awkward.mask, np.float32(-1e6), awkward.flux))
    first, second = run(case, awkward), run(case, wild)
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.ivar, second.ivar)
    good = ~first.mask
    np.testing.assert_array_equal(first.flux[good], second.flux[good])


@each
def test_chips_do_not_mix(case, awkward):
    if case.whole_row:
        pytest.skip("uses the median of the whole row")
    flux = np.array(awkward.flux)
    flux[:, 95:180] *= np.linspace(0.5, 0.9, 85)
    before, after = run(case, awkward), run(case, awkward.replace(flux=flux))
    chip = chip_of(before.grid)
    others = (chip == 0) | (chip == 2)
    good = others & ~before.mask
    assert good[0].any()
    np.testing.assert_array_equal(before.flux[good], after.flux[good])
    np.testing.assert_array_equal(before.mask[:, others], after.mask[:, others])
    assert np.any(before.flux[0, chip == 1] != after.flux[0, chip == 1])


@each
def test_rows_do_not_mix(case, awkward, monkeypatch):
    monkeypatch.setattr(_rows, "ROWS", 3)
    if case.transform.random:
        np.testing.assert_array_equal(run(case, awkward).flux, run(case, awkward).flux)
        assert np.any(run(case, awkward, 1).flux != run(case, awkward, 2).flux) or np.any(
            run(case, awkward, 1).mask != run(case, awkward, 2).mask
        )
        return
    whole = run(case, awkward)
    for i in range(7):
        alone = run(case, awkward[i])
        np.testing.assert_array_equal(alone.mask[0], whole.mask[i])
        np.testing.assert_allclose(alone.flux[0], whole.flux[i], rtol=1e-5)
        np.testing.assert_allclose(alone.ivar[0], whole.ivar[i], rtol=1e-5)


@each
def test_no_rows_at_all(case, awkward):
    out = run(case, awkward[:0])
    assert out.flux.shape == (0, run(case, awkward).n_pixels)
    assert out.flux_unit == run(case, awkward).flux_unit


@each
def test_input_stays_as_it_was(case, awkward):
    rows = [list(row) for row in awkward.meta]
    grid, before = awkward.grid, [np.array(v) for v in (awkward.flux, awkward.ivar, awkward.mask)]
    run(case, awkward)
    assert awkward.grid is grid
    assert [list(row) for row in awkward.meta] == rows
    for old, new in zip(before, (awkward.flux, awkward.ivar, awkward.mask), strict=True):
        np.testing.assert_array_equal(old, new)


@each
def test_random_ones_ask_for_a_generator(case, awkward):
    if case.transform.random:
        with pytest.raises(ConfigError, match=r"default_rng\(seed\)"):
            case.transform(awkward)
    else:
        state = np.random.default_rng(3)
        case.transform(awkward, state)
        assert state.random() == np.random.default_rng(3).random()


def test_pipeline_runs_its_steps_in_order(awkward):
    steps = (ToRest(), ChipMedian(), FillMasked(0.0))
    by_hand = awkward
    for step in steps:
        by_hand = step(by_hand)
    np.testing.assert_array_equal(Pipeline(steps)(awkward).flux, by_hand.flux)
    assert Pipeline()(awkward) is awkward


def test_pipeline_without_its_random_steps(awkward):
    inner = Pipeline((ChipMedian(), MaskRandom()))
    pipeline = Pipeline((AddNoise(snr=50), inner, ToRest()))
    assert pipeline.random
    assert pipeline.deterministic() == Pipeline((Pipeline((ChipMedian(),)), ToRest()))
    assert not pipeline.deterministic().random
    pipeline.deterministic()(awkward)


def test_names_and_parameters_are_checked():
    with pytest.raises(ConfigError, match="there are AddNoise"):
        Transform.from_dict({"transform": "Sharpen"})
    with pytest.raises(ConfigError, match="has no parameter strength; it has value"):
        Transform.from_dict({"transform": "FillMasked", "strength": 2})
    with pytest.raises(ConfigError, match="Give instances"):
        Pipeline((ChipMedian,))  # type: ignore[arg-type]
    assert Transform.from_dict("ToRest") == ToRest()
    assert Pipeline.from_dict("ToRest") == Pipeline((ToRest(),))
    assert ToRest() != ToRest(kind="linear")


@pytest.mark.parametrize(
    "make",
    [
        lambda: AddNoise(),
        lambda: AddNoise(snr=(0, 10)),
        lambda: AddNoise(snr=(30, 10)),
        lambda: AddNoise(snr=10, from_ivar=True),
        lambda: ClipFlux(),
        lambda: ClipFlux(2, 1),
        lambda: ContinuumShape(amplitude=float("nan")),
        lambda: DopplerShift(3e5),
        lambda: DopplerShift(10, frame="lab"),  # type: ignore[arg-type]
        lambda: FillMasked("mean"),  # type: ignore[arg-type]
        lambda: LineJitter(1.5),
        lambda: LineJitter(0.1, width=0),
        lambda: LSFJitter(),
        lambda: LSFJitter(fraction=0.1, pixels=1.0),
        lambda: MaskPixels((5, 3)),
        lambda: MaskPixels(3),  # type: ignore[arg-type]
        lambda: MaskRandom(1.5),
        lambda: MaskRandom(segments=0),
        lambda: MatchLSF(),
        lambda: MatchLSF(resolution=-5),
        lambda: PolynomialContinuum(order=-1),
        lambda: PolynomialContinuum(pixels=(1, 2), ranges=((1, 2),)),
        lambda: Resample("grid"),  # type: ignore[arg-type]
        lambda: Resample(FINER, max_masked=1.0),
        lambda: RunningQuantile(quantile=90),
        lambda: RVJitter(-1),
        lambda: SelectPixels(()),
        lambda: SelectPixels(((0, 10), (5, 20))),
        lambda: SelectPixels((0.5, 20)),
        lambda: SplineContinuum(spacing=10, intervals=3),
        lambda: SplineContinuum(iterations=-1),
        lambda: ToRest(kind="sinc"),  # type: ignore[arg-type]
    ],
)
def test_wrong_parameters_are_refused_when_made(make):
    with pytest.raises(ConfigError, match="received"):
        make()
