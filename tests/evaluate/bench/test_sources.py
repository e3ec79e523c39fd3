"""Stars of a suite from a user's files, and what is wrong with them."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack

from starnet.dataset import from_arrays
from starnet.errors import DataError, LabelError
from starnet.evaluate.bench import load_suite, run_bench, sources
from starnet.evaluate.bench.sources import Source, opened
from starnet.library import load_plan

LOG = {"CRVAL1": 4.179, "CDELT1": 6e-6, "CRPIX1": 1, "CTYPE1": "LOG-LINEAR", "DC-FLAG": 1}
N = 30


@pytest.fixture
def dr17(tmp_path):
    """A folder as a user has it: apStar files of 30 stars, and the release's table."""
    folder = tmp_path / "dr17"
    folder.mkdir()
    rng = np.random.default_rng(4)
    names = [f"2M000000{i:02d}+0000001" for i in range(N)]
    teff, logg, fe_h = rng.uniform(4000, 6000, N), rng.uniform(1, 4, N), rng.uniform(-1, 0.3, N)
    depth = np.stack([(7000 - teff) / 9000, logg / 10, (fe_h + 2) / 8], axis=1)
    lines = np.exp(-0.5 * ((np.arange(8575) - np.array([[900], [4500], [7000]])) / 20.0) ** 2)
    for name, flux in zip(names, 100 * (1 - depth @ lines), strict=True):
        head = fits.Header({"OBJID": name, "NVISITS": 1, "SNR": 100.0, "VHBARY": 1.0, **LOG})
        head["SFILE1"] = "apVisit-dr17-1000-56001-001.fits"
        noisy = (flux + rng.standard_normal(8575)).astype("f4")
        images = [noisy, np.ones(8575, "f4"), np.zeros(8575, "i2")]
        hdus = [fits.ImageHDU(image, fits.Header(LOG)) for image in images]
        path = folder / f"apStar-dr17-{name}.fits"
        fits.HDUList([fits.PrimaryHDU(header=head), *hdus]).writeto(path)
    table = Table({"APOGEE_ID": names, "TEFF": teff, "LOGG": logg, "FE_H": fe_h})
    again = table[:2].copy()
    again["TEFF"] += 5  # observed twice: the first row counts
    vstack([table, again]).write(folder / "allStar-dr17-made-up.fits")
    return folder


def test_files_and_an_allstar_table_as_users_have_them(dr17, tmp_path):
    suite = load_suite("apogee-dr17").with_methods(["pca-regression"])
    suite = replace(suite, split={"test": 10}, sizes=(0,))
    run = run_bench(suite, tmp_path / "out", data=dr17, isolate=False)
    (one,) = run.done
    assert one.cell.n_stars == 20
    residual = one.result.predicted.column("teff") - one.result.truth.column("teff")
    assert np.std(residual) < 300
    assert np.all(one.result.snr > 30)
    again = run_bench(suite, tmp_path / "out", data=dr17, isolate=False)
    assert again.outcomes[0].cached


def test_a_folder_without_its_table_says_what_to_do(dr17, tmp_path):
    source = Source("files", how="See the archive.", table="allStars*.fits", key="APOGEE_ID")
    with pytest.raises(DataError, match=r"no label table allStars.*--table\. See the archive"):
        opened(source, dr17, tmp_path / "store.zarr")


def test_spectra_are_drawn_anew_when_the_model_is_another(tmp_path, labelled, monkeypatch):
    made = []

    def draw(source, store, say, progress):
        made.append(store)
        from_arrays(*labelled(5), store, overwrite=store.exists())

    monkeypatch.setattr(sources, "_drawn", draw)
    monkeypatch.setattr(sources, "digests", lambda named: {"models/apogee": "1"})
    source = Source("drawn", model="apogee", n=5)
    for _ in range(2):
        opened(source, None, tmp_path / "drawn.zarr")
    assert len(made) == 1
    monkeypatch.setattr(sources, "digests", lambda named: {"models/apogee": "2"})
    opened(source, None, tmp_path / "drawn.zarr")
    assert len(made) == 2


def test_a_table_whose_star_column_is_unknown_says_what_to_do(dr17, tmp_path):
    for path in dr17.glob("allStar*"):
        table = Table.read(path)
        table.rename_column("APOGEE_ID", "WHO")
        path.unlink()
        table["WHO", "TEFF"].write(dr17 / "labels.csv")
    with pytest.raises(LabelError, match=r"WHO.*`starnet dataset build`.*--key.*--data"):
        opened(Source("files"), dr17, tmp_path / "stars.zarr")


def test_stars_of_a_plan_are_made_anew_when_the_plan_is_another(tmp_path, labelled, monkeypatch):
    made = []

    def synthesize(source, store, say, progress):
        made.append(store)
        from_arrays(*labelled(5), store, overwrite=store.exists())

    monkeypatch.setattr(sources, "_synthesized", synthesize)
    plan = load_plan("synth-generic").save(tmp_path / "plan.yaml")
    for _ in range(2):
        opened(Source("plan", plan=str(plan), n=5), None, tmp_path / "made.zarr")
    assert len(made) == 1
    load_plan(plan).with_settings(name="other").save(plan)
    opened(Source("plan", plan=str(plan), n=5), None, tmp_path / "made.zarr")
    assert len(made) == 2
