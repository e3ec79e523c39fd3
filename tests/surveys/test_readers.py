"""The contract of the readers: each shall identify its own files and no other, return spectra
with medium and frame, mask bad pixels, heed the options, and name the file in every error."""

import gzip
import shutil

import numpy as np
import pytest
from _survey_files import BAD, FLAGGED, MAKERS, NAN, N

from starnet import surveys
from starnet.errors import ReadError
from starnet.spectra import Spectra
from starnet.surveys import SURVEYS, ReadOptions, identify, read_file

DOCUMENTED = {
    "apstar": ("vacuum", "rest"),
    "apvisit": ("vacuum", "observed"),
    "aspcapstar": ("vacuum", "rest"),
    "sdss": ("vacuum", "observed"),
    "mastar": ("vacuum", "rest"),
    "lamost": ("vacuum", "observed"),
    "miles": ("air", "rest"),
}
COLUMNS = {"id", "star", "file", "snr", "rv", "ra", "dec", "survey", "kind"}
REAL = {
    "apogee/apStar": ("apstar", 19),
    "apogee/apVisit": ("apvisit", 21),
    "apogee/aspcapStar": ("aspcapstar", 20),
    "lamost": ("lamost", 220),
    "sdss/spec-*": ("sdss", 3),
    "sdss/mastar*": ("mastar", 2),
    "galah": ("galah", 1),
    "miles": ("miles", 794),
}


@pytest.fixture(params=list(MAKERS))
def made(request, tmp_path):
    """One made-up file, and the survey whose it is."""
    survey, make = MAKERS[request.param]
    return survey, make(tmp_path)


def _is_sound(spectra: Spectra, survey: str) -> None:
    assert set(spectra.meta.colnames) >= COLUMNS
    assert len(set(spectra.ids)) == len(spectra)
    assert all(spectra.stars)
    assert np.all(np.isfinite(spectra.flux))
    assert not spectra.mask.all(axis=1).any()
    if survey in DOCUMENTED:
        assert (spectra.grid.medium, spectra.frame) == DOCUMENTED[survey]


def test_every_survey_has_a_made_up_file_and_a_document():
    assert {survey for survey, _ in MAKERS.values()} | {"specutils"} == set(SURVEYS)
    assert all(survey.source.startswith("http") for survey in SURVEYS.values())
    assert all(name == survey.name for name, survey in SURVEYS.items())


def test_a_file_is_of_one_survey(made):
    name, path = made
    with surveys._registry._opened(path) as source:
        claims = []
        for survey in SURVEYS.values():
            try:
                claims += [survey.name] * survey.identify(source)
            except ReadError:
                continue
    assert claims == [name]
    found = identify(path)
    assert found is not None
    assert found.name == name


def test_spectra_are_sound_and_bad_pixels_masked(made):
    name, path = made
    spectra = read_file(path)
    _is_sound(spectra, name)
    assert set(spectra.meta["file"]) == {str(path)}
    pixels = np.asarray(BAD)
    if name == "apvisit":  # three chips, all of them read backwards twice
        assert spectra.mask[:, np.concatenate([pixels, pixels + N, pixels + 2 * N])].all()
        assert spectra.masked_fraction[0] == pytest.approx(4 / N)
    else:
        assert spectra.mask[:, pixels].all()
        allowed = 5 if name == "apstar" else 4
        assert np.all(spectra.masked_fraction <= (allowed + 0.1) / N)
    if name != "miles":
        assert np.all(np.isfinite(spectra.meta["snr"]))


def test_options_are_heeded(made):
    name, path = made
    plain = read_file(path)
    floor = read_file(path, options=ReadOptions(error_floor=0.1))
    good = ~plain.mask
    if name == "miles":
        assert not floor.ivar.any()
    else:
        ratio = (np.abs(floor.flux) * np.sqrt(floor.ivar))[good]
        assert ratio == pytest.approx(10.0, rel=1e-4)
    other = read_file(path, options=ReadOptions(medium="air", frame="rest"))
    assert (other.grid.medium, other.frame) == ("air", "rest")
    if SURVEYS[name].bits is not None:
        freed = read_file(path, options=ReadOptions(mask_bits=()))
        at = FLAGGED if name != "apvisit" else FLAGGED + N
        assert plain.mask[:, at].all()
        assert not freed.mask[:, at].any()
        assert freed.mask[:, NAN].all()


@pytest.mark.parametrize("part", [0.0, 0.001, 0.2, 0.5, 0.8, 0.97])
def test_a_truncated_file_is_an_error_that_names_it(made, part, tmp_path):
    name, path = made
    if path.suffix == ".txt":
        pytest.skip("text that ends at a line's end is whole")
    data = path.read_bytes()
    cut = tmp_path / f"cut-{path.name}"
    cut.write_bytes(data[: max(0, int(part * len(data)) - 7)])
    identify(cut)  # says something or nothing, and raises nothing
    for survey in (None, name):
        with pytest.raises(ReadError, match="cut-") as error:
            read_file(cut, survey)
        assert "\n" not in str(error.value)


def test_a_gzipped_copy_is_the_same(made, tmp_path):
    name, path = made
    if path.suffix in (".gz", ".txt"):
        pytest.skip("gzipped already, or text")
    folder = tmp_path / "gz"
    folder.mkdir()
    packed = folder / f"{path.name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    one, two = read_file(path), read_file(packed)
    assert identify(packed) is SURVEYS[name]
    assert np.array_equal(one.flux, two.flux)
    assert list(one.ids) == list(two.ids)


@pytest.mark.parametrize("other", [name for name in SURVEYS if name != "specutils"])
def test_another_surveys_reader_reads_or_refuses(made, other):
    """The user may insist: what comes is spectra or an error with the file's name."""
    name, path = made
    try:
        spectra = read_file(path, other)
    except ReadError as error:
        assert name != other
        assert str(path) in str(error)  # noqa: PT017 - either is right
    else:
        assert np.all(np.isfinite(spectra.flux))


@pytest.mark.parametrize("where", list(REAL))
def test_real_files(shared_data, where):
    name, count = REAL[where]
    paths = surveys.find(shared_data / where)
    assert len(paths) == count
    ids: list[str] = []
    for path in paths[:: max(1, count // 60)]:
        found = identify(path)
        assert found is not None
        assert found.name == name
        spectra = read_file(path)
        _is_sound(spectra, name)
        ids += list(spectra.ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("where", [w for w in REAL if w != "galah"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.95])
def test_real_files_cut_short(shared_data, tmp_path, where, part):
    path = surveys.find(shared_data / where)[0]
    cut = tmp_path / path.name
    shutil.copyfile(path, cut)
    cut.chmod(0o600)
    with cut.open("r+b") as file:
        file.truncate(int(part * path.stat().st_size) - 7)
    with pytest.raises(ReadError, match="not read") as error:
        read_file(cut)
    assert str(cut) in str(error.value)
