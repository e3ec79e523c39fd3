"""Grids of precomputed spectra: formats, interpolation, holes, edges, damaged files."""

from itertools import product
from pathlib import Path

import engine_fakes as fakes
import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import ConfigError, GridError, LabelError, ReadError
from starnet.spectra import Labels, WavelengthGrid
from starnet.synthesis.engines._nodes import LatticeNodes, ScatteredNodes
from starnet.synthesis.engines.grid import SpectrumGrid

NAMES = ("teff", "logg", "fe_h")
AXES = {
    "teff": np.array([4000.0, 4500.0, 5000.0, 6000.0, 7000.0]),
    "logg": np.array([1.0, 2.0, 3.0, 4.5]),
    "fe_h": np.array([-2.0, -1.0, 0.0, 0.5]),
}
WAVE = 10.0 ** (3.7145 + 4e-6 * np.arange(400))
PIXELS = WavelengthGrid(WAVE[10:-10], "vacuum")
KINDS = ("npz", "compressed", "h5", "fits", "dat")


def depth(teff, logg, fe_h, power=1):
    """Depth of the one line: linear in every label, or a polynomial of a higher power."""
    x, y, z = (teff - 5500) / 1500, (logg - 2.5) / 2, (fe_h + 0.75) / 1.5
    return 0.4 - 0.1 * x**power + 0.05 * y * z + 0.1 * z**power


def spectra(points, power=1):
    line = np.exp(-0.5 * ((WAVE - 5187.0) / 0.4) ** 2)
    return 1.0 - depth(*np.moveaxis(np.asarray(points), -1, 0), power)[..., None] * line


def lattice(power=1):
    return spectra(np.stack(np.meshgrid(*AXES.values(), indexing="ij"), axis=-1), power)


def write(folder: Path, kind: str, flux=None, continuum=False, **more) -> Path:
    flux = lattice() if flux is None else flux
    parts = {"wavelength": WAVE, "label_names": list(NAMES), "medium": "vacuum"}
    parts |= {f"axis_{name}": axis for name, axis in AXES.items()} | more
    if continuum:
        parts["continuum"] = np.full_like(flux, 5e6)
    path = folder / f"grid.{'npz' if kind == 'compressed' else kind}"
    if kind in ("npz", "compressed"):
        (np.savez if kind == "npz" else np.savez_compressed)(path, flux=flux, **parts)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["flux"] = flux
            for name, value in parts.items():
                if name in ("medium", "label_names"):
                    file.attrs[name] = value
                else:
                    file[name] = value
    elif kind == "fits":
        write_fits(path, flux, parts)
    else:
        write_ferre(path, flux)
    return path


def write_fits(path: Path, flux, parts) -> None:
    first = fits.ImageHDU(flux, name="FLUX")
    first.header["MEDIUM"] = parts["medium"]
    hdus = [fits.PrimaryHDU(), first, fits.ImageHDU(WAVE, name="WAVELENGTH")]
    if "continuum" in parts:
        hdus.append(fits.ImageHDU(parts["continuum"], name="CONTINUUM"))
    if "labels" in parts:
        hdus.append(fits.BinTableHDU(Table(parts["labels"], names=NAMES), name="LABELS"))
    else:
        for i, name in enumerate(NAMES, start=1):
            first.header[f"LABEL{i}"] = name.upper()
            hdus.append(fits.ImageHDU(AXES[name], name=name.upper()))
    fits.HDUList(hdus).writeto(path)


EVEN = {"METALS": (-2.0, 0.5, 6), "LOGG": (1.0, 1.0, 4), "TEFF": (4000.0, 500.0, 7)}


def write_ferre(path: Path, flux=None, chips=(slice(0, 400),), names=("METALS", "LOGG", "TEFF")):
    """A FERRE file of its own axes, which are even; the last label varies fastest."""
    axes = [low + step * np.arange(n) for low, step, n in EVEN.values()]
    common = (
        f" N_OF_DIM = {len(EVEN)}\n N_P = {' '.join(str(v[2]) for v in EVEN.values())}\n"
        f" LLIMITS = {' '.join(str(v[0]) for v in EVEN.values())}\n"
        f" STEPS = {' '.join(str(v[1]) for v in EVEN.values())}\n RESOLUTION = 22500\n"
        + "".join(f" LABEL({i}) = '{name}'\n" for i, name in enumerate(names, start=1))
    )
    heads = [
        f" WAVE = {np.log10(WAVE[chip][0]):.12f} 4.0e-06\n LOGW = 1\n NPIX = {len(WAVE[chip])}\n"
        for chip in chips
    ]
    text = f"&SYNTH\n MULTI = {0 if len(chips) == 1 else len(chips)}\n ID = 'toy = 1'\n{common}"
    text += heads[0] + " /\n" if len(chips) == 1 else " /\n"
    if len(chips) > 1:
        text += "".join(f"&SYNTH\n{head} /\n" for head in heads)
    for metals, logg, teff in product(*axes):
        row = np.concatenate([spectra([teff, logg, metals])[chip] for chip in chips])
        text += " ".join(f"{value:.7E}" for value in row) + "\n"
    path.write_text(text)
    return path


def engine(path: Path, **settings) -> SpectrumGrid:
    if path.suffix == ".dat":
        settings = {"medium": "vacuum", "rename": {"METALS": "fe_h"}} | settings
    return SpectrumGrid(path, **settings)


def made(grid: SpectrumGrid, *points, **how):
    return grid.synthesize(Labels(NAMES, list(points)), PIXELS, **how)


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_nodes_and_what_lies_between(kind: str, tmp_path: Path):
    grid = engine(write(tmp_path, kind))
    points = [[4500.0, 2.0, -1.0], [4321.0, 2.6, -0.3], [7000.0, 4.0, 0.5], [4000.0, 1.0, -2.0]]
    result = made(grid, *points)
    want = spectra(points)[:, 10:-10]
    assert np.abs(result.normalized - want).max() < 2e-4
    assert np.isnan(result.continuum).all()
    assert result.provenance["spectra"] == (168 if kind == "dat" else 80)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_continuum_and_absolute_flux(kind: str, tmp_path: Path):
    grid = engine(write(tmp_path, kind, continuum=True))
    assert np.allclose(made(grid, [4500.0, 2.0, -1.0]).continuum, 5e6)
    absolute = write(
        tmp_path / kind if (tmp_path / kind).mkdir() is None else tmp_path,
        kind,
        flux=lattice() * 5e6,
        continuum=True,
    )
    other = engine(absolute, normalized=False)
    one, two = (made(g, [4444.0, 2.0, -1.0]).normalized for g in (grid, other))
    assert np.allclose(one, two)


def test_normalized_false_needs_a_continuum(tmp_path: Path):
    with pytest.raises(ConfigError, match="continuum"):
        engine(write(tmp_path, "npz"), normalized=False)


@pytest.mark.parametrize("kind", ["npz", "h5", "fits"])
def test_scattered_spectra(kind: str, tmp_path: Path, rng: np.random.Generator):
    low, high = (np.array([f(AXES[n]) for n in NAMES]) for f in (np.min, np.max))
    corners = np.array(list(product(*zip(low, high, strict=True))))
    points = np.concatenate([corners, rng.uniform(low, high, (150, 3))])
    plane = 0.2 + (points - low) / (high - low) @ [0.1, 0.2, 0.05]
    flux = 1.0 - plane[:, None] * np.exp(-0.5 * ((WAVE - 5187.0) / 0.4) ** 2)
    grid = engine(write(tmp_path, kind, flux=flux, labels=points))
    x = np.array([5100.0, 3.3, -0.4])
    want = 0.2 + (x - low) / (high - low) @ [0.1, 0.2, 0.05]
    assert 1 - made(grid, x).normalized.min() == pytest.approx(want, abs=2e-3)
    assert np.allclose(made(grid, points[20]).normalized, flux[20, 10:-10], atol=3e-4)
    with pytest.raises(LabelError, match="covers"):
        made(grid, [8000.0, 3.0, 0.0])
    assert made(grid, [8000.0, 3.0, 0.0], outside="clamp").labels.values[0, 0] == 7000.0
    with pytest.raises(ConfigError, match="lattice"):
        engine(tmp_path / f"grid.{kind}", method="cubic")


def test_cubic_is_closer_than_linear(tmp_path: Path):
    path = write(tmp_path, "npz", flux=lattice(power=3))
    points = [[4321.0, 2.6, -0.3], [6300.0, 4.2, 0.2]]
    want = spectra(points, power=3)[:, 10:-10]
    errors = [
        np.abs(made(engine(path, method=m), *points).normalized - want).max()
        for m in ("linear", "cubic")
    ]
    assert errors[1] < 3e-4 < 0.01 < errors[0]


def test_holes(tmp_path: Path):
    flux = lattice()
    flux[1, 1, 1] = 0.0
    flux[3, 1, 1, 50] = np.nan
    grid = engine(write(tmp_path, "npz", flux=flux))
    beside = [4600.0, 2.2, -0.9]
    with pytest.raises(LabelError, match="hole beside teff = 4600"):
        made(grid, beside)
    with pytest.raises(LabelError, match="hole"):
        made(grid, [6000.0, 2.0, -1.0])
    far = made(grid, [4100.0, 3.2, 0.2]).normalized  # whole corners
    filling = engine(tmp_path / "grid.npz", holes="nearest")
    assert np.array_equal(far, made(filling, [4100.0, 3.2, 0.2]).normalized)
    filled = made(filling, beside).normalized
    assert np.abs(filled - spectra([beside])[:, 10:-10]).max() < 0.1


def test_cubic_beside_a_hole_is_linear(tmp_path: Path):
    flux = lattice(power=3)
    flux[0] = 0.0  # in the stencil of a cubic only
    path = write(tmp_path, "npz", flux=flux)
    point = [4700.0, 2.5, -0.5]
    one, other = (made(engine(path, method=m), point).normalized for m in ("cubic", "linear"))
    assert np.array_equal(one, other)


def test_nothing_but_holes(tmp_path: Path):
    grid = engine(write(tmp_path, "npz", flux=np.zeros_like(lattice())), holes="nearest")
    with pytest.raises(LabelError, match="nothing but holes"):
        made(grid, [4500.0, 2.0, -1.0])


def test_outside_is_an_error_or_clamped(tmp_path: Path):
    grid = engine(write(tmp_path, "h5"))
    with pytest.raises(LabelError, match=r"teff = 9000 \(it covers 4000 to 7000\); 1 of 2"):
        made(grid, [5000.0, 2.0, 0.0], [9000.0, 2.0, 0.0])
    result = made(grid, [9000.0, 2.0, 0.0], [5000.0, 0.0, 0.7], outside="clamp")
    assert np.allclose(result.labels.values, [[7000.0, 2.0, 0.0], [5000.0, 1.0, 0.5]])
    assert np.array_equal(result.normalized, made(grid, *result.labels.values).normalized)


def test_wavelengths(tmp_path: Path):
    grid = engine(write(tmp_path, "npz"))
    with pytest.raises(GridError, match=r"covers 5182\.0 to"):
        grid.synthesize(Labels(NAMES, [[5000.0, 2.0, 0.0]]), fakes.grid(5300.0))
    part = WavelengthGrid(WAVE[150:250], "vacuum")
    some = grid.synthesize(Labels(NAMES, [[5000.0, 2.0, 0.0]]), part).normalized
    whole = made(grid, [5000.0, 2.0, 0.0]).normalized
    assert np.allclose(some, whole[:, 140:240], atol=1e-6)


def test_labels_must_be_those_of_the_grid(tmp_path: Path):
    grid = engine(write(tmp_path, "npz"))
    with pytest.raises(LabelError, match="has the labels teff, logg, fe_h"):
        grid.synthesize(Labels(("teff", "logg"), [[5000.0, 2.0]]), PIXELS)
    with pytest.raises(LabelError, match="mg_fe"):
        grid.synthesize(Labels((*NAMES, "mg_fe"), [[5000.0, 2.0, 0.0, 0.1]]), PIXELS)
    spelled = Labels(("m_h", "teff", "logg"), [[0.0, 5000.0, 2.0]])
    same = made(grid, [5000.0, 2.0, 0.0]).normalized
    assert np.array_equal(grid.synthesize(spelled, PIXELS).normalized, same)


def test_ferre_chips_and_logarithmic_labels(tmp_path: Path):
    chips = (slice(0, 150), slice(170, 400))
    path = write_ferre(tmp_path / "grid.dat", chips=chips)
    grid = engine(path)
    assert grid.cube.wavelength.size == 380
    point = [4750.0, 2.5, -0.25]
    found = made(grid, point).normalized[0]
    want = spectra([point])[0, 10:-10]
    inside = np.r_[0:135, 165:380]
    assert np.abs(found - want)[inside].max() < 2e-4
    assert np.abs(found - 1)[142:158].max() < 0.5  # a straight line across the gap
    path = write_ferre(tmp_path / "log.dat", names=("METALS", "LOG10VDOP", "TEFF"))
    grid = engine(path)
    labels = Labels(("teff", "vmic", "fe_h"), [[4750.0, 10.0**1.5, -0.25]])
    want = spectra([[4750.0, 1.5, -0.25]])[0, 10:-10]
    assert np.abs(grid.synthesize(labels, PIXELS).normalized[0] - want).max() < 2e-4


def test_ferre_is_read_in_rows(tmp_path: Path, monkeypatch):
    path = write(tmp_path, "dat")
    read = []
    grid = engine(path)
    flux = grid.cube.flux
    object.__setattr__(grid.cube, "flux", lambda rows, px: read.extend(rows) or flux(rows, px))
    made(grid, [4750.0, 2.5, -0.25], [4760.0, 2.5, -0.2])
    assert len(read) == len(set(read)) == 8  # the corners, once


def test_uncompressed_npz_is_mapped(tmp_path: Path):
    from starnet.synthesis.engines._cube import _member

    array = _member(write(tmp_path, "npz"), "flux")
    assert isinstance(array, np.memmap)
    assert np.array_equal(array, lattice())
    assert not isinstance(_member(write(tmp_path, "compressed"), "flux"), np.memmap)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"wavelength": WAVE[::-1]}, "wavelength must be finite and rise"),
        ({"wavelength": WAVE[:-1]}, "shape"),
        ({"axis_teff": np.array([4000.0, 4500.0, 5000.0, 6000.0, np.nan])}, "teff must be finite"),
        ({"label_names": ["teff", "logg", "mg_h"]}, "axis_mg_h"),
        ({"medium": "water"}, "vacuum"),
    ],
)
def test_a_grid_that_does_not_fit_together(tmp_path: Path, change, what: str):
    with pytest.raises((ReadError, ConfigError), match=what):
        engine(write(tmp_path, "npz", **change))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off(kind: str, tmp_path: Path):
    path = write(tmp_path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises((ReadError, LabelError)):
        made(engine(path), [6500.0, 4.0, 0.4])


@pytest.mark.parametrize("kind", KINDS)
def test_a_foreign_or_empty_file(kind: str, tmp_path: Path):
    path = tmp_path / f"grid.{kind if kind != 'compressed' else 'npz'}"
    for content in (b"", b"hello\nworld\n" * 40):
        path.write_bytes(content)
        with pytest.raises(ReadError):
            engine(path)


def test_other_files(tmp_path: Path):
    with pytest.raises(ReadError, match="there is none"):
        SpectrumGrid(tmp_path / "none.npz")
    with pytest.raises(ReadError, match="ending in"):
        SpectrumGrid(tmp_path / "grid.txt")
    np.savez(tmp_path / "objects.npz", flux=np.array([{}], dtype=object))
    with pytest.raises(ReadError):
        SpectrumGrid(tmp_path / "objects.npz")
    with pytest.raises(ConfigError, match="medium="):
        SpectrumGrid(write(tmp_path, "dat"), rename={"METALS": "fe_h"})
    with pytest.raises(ConfigError, match="vacuum, and medium='air'"):
        SpectrumGrid(write(tmp_path, "npz"), medium="air")
    with pytest.raises(ConfigError, match="method"):
        SpectrumGrid(tmp_path / "grid.npz", method="quintic")  # type: ignore[arg-type]


def test_air_is_converted(tmp_path: Path):
    from starnet.spectra.air import vacuum_to_air

    vacuum = made(engine(write(tmp_path, "npz")), [5000.0, 2.0, 0.0]).normalized
    path = write(tmp_path, "h5", wavelength=vacuum_to_air(WAVE), medium="air")
    assert np.allclose(made(engine(path), [5000.0, 2.0, 0.0]).normalized, vacuum, atol=1e-5)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.booleans())
def test_weights_sum_to_one_and_give_the_point(part: list[float], cubic: bool):
    axes = tuple(AXES.values())
    nodes = LatticeNodes(NAMES, axes, cubic)
    point = np.array([a[0] + p * (a[-1] - a[0]) for a, p in zip(axes, part, strict=True)])
    for weights in nodes.stencils(point):
        total = np.sum([w * nodes.point(node) for node, w in weights.items()], axis=0)
        assert sum(weights.values()) == pytest.approx(1.0, abs=1e-7)
        assert np.allclose(total, point, rtol=1e-6, atol=1e-6)


def test_scattered_in_one_label_and_flat_sets():
    line = ScatteredNodes(("teff",), np.array([[5000.0], [4000.0], [7000.0]]))
    assert line.stencils(np.array([6000.0])) == [{0: pytest.approx(0.5), 2: pytest.approx(0.5)}]
    flat = np.array([[4000.0, 1.0], [5000.0, 2.0], [6000.0, 3.0]])
    with pytest.raises(ConfigError, match="do not span"):
        ScatteredNodes(("teff", "logg"), flat)
