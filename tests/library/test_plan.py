import json

import numpy as np
import pytest
import yaml

from starnet.errors import ConfigError
from starnet.library import LibraryPlan, atmospheres_accept, draw_stars, load_plan, plan_names
from starnet.library.region import accept_all, engine_accept, inside
from starnet.spectra import Labels
from starnet.synthesis.composition import Composition
from tests.library.fake_engine import NAME, Fake

SAMPLER = {"sampler": "sobol", "labels": {"teff": [4000, 6000], "logg": [1, 5], "fe_h": [-1, 0]}}
BASE = {"engine": {"name": NAME}, "sampler": SAMPLER, "instrument": "apogee"}


@pytest.mark.parametrize("name", plan_names())
def test_every_plan_of_the_package_loads_draws_and_comes_back(name):
    plan = load_plan(name)
    assert plan.name == name
    assert plan.about.endswith(".")
    for text in (yaml.safe_dump(plan.to_dict()), json.dumps(plan.to_dict(), allow_nan=False)):
        again = LibraryPlan.from_dict(yaml.safe_load(text))
        assert again == plan
        assert again.digest() == plan.digest()
    labels = draw_stars(plan, None)
    assert len(labels) == plan.n
    Composition.of(labels.names)
    assert inside(plan.region, labels.column("teff"), labels.column("logg")).all()


def test_the_pilot_varies_17_elements_over_giants_and_dwarfs():
    plan = load_plan("synth-apogee-pilot")
    labels = draw_stars(plan, None)
    assert len(labels) >= 3000
    assert len(plan.sampler.elements) == 17
    assert np.sum(labels.column("logg") > 4) > 500
    assert np.sum(labels.column("logg") < 3) > 1000
    assert (plan.observer, plan.recorder.name) == (None, "apogee")


def test_the_pilots_region_holds_the_stars_that_apogee_sees(shared_data):
    from astropy.table import Table

    stars = Table.read(shared_data / "labels" / "apogee_dr17_subset_50k.csv", format="ascii.csv")
    teff, logg, fe_h = (
        np.ma.filled(stars[n].astype(float), np.nan) for n in ("teff", "logg", "fe_h")
    )
    box = (teff > 3800) & (teff < 6800) & (logg > 0.5) & (logg < 5) & (np.abs(fe_h + 0.75) < 1.25)
    held = inside(load_plan("synth-apogee-pilot").region, teff[box], logg[box])
    assert held.mean() > 0.995


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "no setting colour"),
        ({"engine": "lte"}, "engine must give a name"),
        ({"name": "a b"}, "name must be of letters"),
        ({"n": 0}, "n must be"),
        ({"visits": 3}, "every visit is the same"),
        ({"sampler": 3}, "sampler must hold settings"),
        ({"sampler": {"sampler": "sobol", "labels": {"teff": [1, 2]}}}, "lacks logg"),
        ({"instrument": "hubble"}, "no instrument 'hubble'"),
        ({"instrument": {"resolution": 5}}, "described by name and grid"),
        ({"instrument": {"resolution": -5, "start": 1, "stop": 2}}, "resolution > 0"),
        ({"observer": {"snr": -1}}, "snr"),
        ({"observer": {"moon": 1}}, "observer is described by"),
        ({"region": [[1, 2]]}, "at least three corners"),
    ],
)
def test_wrong_plans_are_refused_with_what_was_wrong(change, message):
    with pytest.raises(ConfigError, match=message):
        LibraryPlan.from_dict({**BASE, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "read as YAML"), ("- a", "settings with names"), ("n: 3", "needs engine, sampler")],
)
def test_files_that_are_no_plans(tmp_path, text, message):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_plan(tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match="no plan 'nothing'"):
        load_plan("nothing")


def test_the_digest_is_of_what_decides_the_spectra():
    plan = LibraryPlan.from_dict({**BASE, "seed": 2, "observer": {"snr": 100}})
    assert (plan.seed, plan.sampler.seed, plan.observer.seed) == (2, 2, 2)
    same = plan.with_settings(n=5, batch=3, physics="/elsewhere", device="cuda", about="Other.")
    assert same.engine["physics"] == "/elsewhere"
    assert same.digest() == plan.digest()
    others = [{"visits": 2}, {"absolute": True}, {"name": "b"}, {"instrument": "miles"}]
    digests = {LibraryPlan.from_dict({**BASE, "observer": {}, **c}).digest() for c in others}
    digests |= {LibraryPlan.from_dict({**BASE, "observer": {}, "seed": s}).digest() for s in (0, 1)}
    assert len(digests) == 6


def test_a_table_beside_the_plan_is_found(tmp_path):
    (tmp_path / "stars.csv").write_text("teff,logg,fe_h\n5000,3,0\n")
    plan = {**BASE, "sampler": {"sampler": "table", "path": "stars.csv"}}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(plan))
    assert len(draw_stars(load_plan(tmp_path / "p.yaml"), None)) == 1000


def test_instruments_are_cut_and_made_up():
    cut = LibraryPlan.from_dict({**BASE, "instrument": {"preset": "miles", "cut": [5000, 5100]}})
    assert cut.recorder.grid.wavelength[0] >= 5000
    assert cut.recorder.medium == "air"
    made = {"name": "mine", "resolution": 3000, "start": 5000, "stop": 5100, "medium": "air"}
    assert LibraryPlan.from_dict({**BASE, "instrument": made}).recorder.name == "mine"


def test_a_region_is_a_polygon():
    triangle = ((0.0, 0.0), (4.0, 0.0), (0.0, 4.0))
    teff, logg = np.array([1.0, 3.0, -1.0, 0.5]), np.array([1.0, 3.0, 1.0, 3.0])
    assert inside(triangle, teff, logg).tolist() == [True, False, False, True]
    assert inside((), teff, logg).all()


def test_an_engine_says_which_stars_it_can_make():
    labels = Labels(("teff", "logg", "fe_h"), [[5000, 1, 0], [6000, 1, 0], [5000, 4, 0]])
    engine = Fake(hottest=5500)
    assert engine_accept(engine)(labels).tolist() == [True, False, True]
    region = ((4000.0, 0.0), (7000.0, 0.0), (7000.0, 2.0), (4000.0, 2.0))
    assert accept_all(region, engine)(labels).tolist() == [True, False, False]
    engine.covers = lambda labels: labels.column("logg") > 2
    assert engine_accept(engine)(labels).tolist() == [False, False, True]


def test_atmospheres_say_which_stars_they_cover(shared_data):
    from starnet.synthesis.atmospheres import AtmosphereEmulator

    folder = shared_data / "physics" / "atmospheres" / "atmosnet"
    names = ("teff", "logg", "fe_h", "o_fe", "mg_fe", "si_fe", "s_fe", "ca_fe", "ti_fe")
    emulator = AtmosphereEmulator.open(folder, "cool") if folder.is_dir() else pytest.skip("absent")
    accept = atmospheres_accept(emulator, names)
    solar, rich, hot = [5000, 3, 0] + [0] * 6, [5000, 3, 0] + [2.0] * 6, [99000, 3, 0] + [0] * 6
    stars = Labels(names, [solar, rich, hot])
    assert accept(stars).tolist() == [True, False, False]
    engine = Fake()
    engine.atmospheres = emulator
    assert engine_accept(engine)(stars).tolist() == [True, False, False]
