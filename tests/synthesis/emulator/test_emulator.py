"""An emulator behind the contract: labels as every engine takes them, other pixels, disk."""

import json

import numpy as np
import pytest
import torch

from starnet.errors import GridError, LabelError, ModelError, OutputError
from starnet.spectra import Labels, LineSpread, WavelengthGrid
from starnet.synthesis import build_synthesizer
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.decoder import decoder_matrix

GRID = WavelengthGrid.log10(4.179, 6e-6, 600, "vacuum", lsf=LineSpread(resolution=30000.0))


@pytest.fixture
def emulator(toy_emulator) -> Emulator:
    return toy_emulator


def labels(**given):
    values = {"teff": 5000.0, "logg": 2.5, "fe_h": -0.3} | given
    return Labels(tuple(values), [list(values.values())])


def test_labels_in_any_spelling_are_the_same_star(emulator):
    spelled = [
        labels(vmic=1.5, c_fe=0.1, o_fe=0.2),
        labels(vmic=1.5, c_h=-0.2, o_h=-0.1),
        Labels(("teff", "logg", "m_h", "vmic", "c_h", "o_fe"), [[5000, 2.5, -0.3, 1.5, -0.2, 0.2]]),
    ]
    for one in spelled:
        assert np.allclose(emulator.own(one), [[5000, 2.5, -0.3, 1.5, 0.1, 0.2]])
    assert emulator.own(labels())[0, 4:].tolist() == [0.0, 0.0]
    assert emulator.own(labels(alpha_m=0.3))[0, 5] == pytest.approx(0.3)


def test_an_element_that_it_has_not_learnt_is_refused(emulator):
    with pytest.raises(LabelError, match="no label for eu_fe"):
        emulator.synthesize(labels(eu_fe=0.3), GRID)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"teff": 7000.0}, "teff = 7000"),
        ({"c_fe": 0.4, "o_fe": 0.0}, "together"),
        ({"teff": 4050.0, "logg": 4.9}, "together"),
    ],
)
def test_outside_the_hull(emulator, given, said):
    with pytest.raises(LabelError, match=said):
        emulator.synthesize(labels(**given), GRID)
    clamped = emulator.synthesize(labels(**given), GRID, outside="clamp")
    assert emulator.covers(clamped.labels).all()
    assert np.isfinite(clamped.normalized).all()


def test_rotation_and_macroturbulence_are_convolved(emulator):
    still = emulator.synthesize(labels(), GRID).normalized[0]
    spun = emulator.synthesize(labels(vsini=30.0, vmac=5.0), GRID).normalized[0]
    assert spun.min() > still.min() + 0.02
    assert (1 - spun).sum() == pytest.approx((1 - still).sum(), rel=1e-3)


def test_a_broader_line_spread_and_other_pixels(emulator):
    wave = GRID.wavelength
    target = WavelengthGrid.linear(wave[20], 0.3, 350, "vacuum", lsf=LineSpread(resolution=15000.0))
    made = emulator.synthesize(labels(), target).normalized[0]
    native = emulator.synthesize(labels(), GRID).normalized[0]
    fine = np.linspace(wave[0], wave[-1], 40000)
    flux = np.interp(fine, wave, native)
    sigma = 15150 / np.sqrt(8 * np.log(2)) * np.sqrt(15000.0**-2 - 30000.0**-2)
    for i in (60, 130, 250):
        kernel = np.exp(-0.5 * ((fine - target.wavelength[i]) / sigma) ** 2)
        assert made[i] == pytest.approx((kernel * flux).sum() / kernel.sum(), abs=2e-3)
    assert np.allclose(
        emulator.on(target).synthesize(labels(), target).normalized[0], made, atol=1e-5
    )


def test_a_sharper_line_spread_is_refused(emulator):
    sharp = WavelengthGrid(GRID.wavelength, "vacuum", lsf=LineSpread(resolution=60000.0))
    with pytest.raises(GridError, match="cannot be made sharper"):
        emulator.on(sharp)


def test_wavelengths_that_it_has_not(emulator):
    far = WavelengthGrid.linear(5000.0, 1.0, 100, "air")
    with pytest.raises(GridError, match="no pixel"):
        emulator.on(far)
    with pytest.raises(GridError, match="outside"):
        emulator.synthesize(labels(), far)


def test_air_is_not_vacuum(emulator):
    air = GRID.to_air()
    same = emulator.synthesize(labels(), WavelengthGrid(air.wavelength, "air", lsf=air.lsf))
    assert np.allclose(same.normalized, emulator.synthesize(labels(), GRID).normalized, atol=1e-4)


def test_a_shift_by_whole_pixels_moves_them():
    step = np.log(10) * 6e-6 * 299792.458
    moved = decoder_matrix(GRID, GRID, shift=3 * step).toarray()
    assert np.allclose(moved[100:500, 97:497], np.eye(400), atol=1e-9)


def test_slopes_on_other_pixels_are_those_of_the_flux(emulator):
    other = emulator.on(WavelengthGrid.linear(15150.0, 0.25, 200, "vacuum"))
    point = torch.tensor(emulator.own(labels()), dtype=torch.float32)
    flux, slopes = other.flux_and_slopes(point)
    step = torch.zeros_like(point)
    step[0, 1] = 0.05
    up, down = other.flux(point + step), other.flux(point - step)
    assert torch.allclose((up - down)[0] / 0.1, slopes[0, 1], atol=2e-4)
    assert torch.allclose(flux, other.flux(point), atol=1e-6)


def test_round_trip_through_a_folder(emulator, tmp_path):
    emulator.save(tmp_path / "e")
    again = Emulator.load(tmp_path / "e")
    first = emulator.synthesize(labels(), GRID).normalized
    assert np.array_equal(again.synthesize(labels(), GRID).normalized, first)
    assert again.describe() == emulator.describe()
    emulator.save(tmp_path / "half", half=True)
    half = build_synthesizer("emulator", model=tmp_path / "half")
    assert np.allclose(half.synthesize(labels(), GRID).normalized, first, atol=2e-3)
    small, large = ((tmp_path / n / "weights.safetensors").stat().st_size for n in ("half", "e"))
    assert small < 0.7 * large


def test_what_is_no_emulator_is_refused(emulator, tmp_path):
    with pytest.raises(ModelError, match="no emulator 'nowhere'"):
        Emulator.load("nowhere")
    emulator.save(tmp_path / "e")
    with pytest.raises(OutputError, match="exists"):
        emulator.save(tmp_path / "e")
    about = json.loads((tmp_path / "e" / "model.json").read_text())
    (tmp_path / "e" / "model.json").write_text(json.dumps(about | {"network": {"n_labels": 2}}))
    with pytest.raises(ModelError, match="cannot build"):
        Emulator.load(tmp_path / "e")
    (tmp_path / "e" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="checksum"):
        Emulator.load(tmp_path / "e")
