import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from starnet.errors import ConfigError, DataError, LabelError, MissingDependencyError, ModelError
from starnet.explain import Maps, Response, strongest_features
from starnet.explain.page import packed, write_page
from starnet.explain.report import Settings, explain
from starnet.inference import Predictor


@pytest.fixture
def maps(toy_spectra):
    grid = toy_spectra.grid
    rng = np.random.default_rng(1)
    mean = rng.standard_normal((2, 2, 200))
    mean[:, :, 90:100] = np.nan
    counts = np.array([6, 3])
    return Maps(grid, ("teff", "logg"), ("all", "logg < 2"), counts, mean, 0.1 * np.abs(mean),
                np.ones((2, 200)), "slope")  # fmt: skip


def payload(path):
    text = path.read_text()
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def unpacked(part):
    import base64

    values = np.frombuffer(base64.b64decode(part["data"]), dtype="<i2").astype(float)
    return np.where(values == -32768, np.nan, values * part["scale"])


def test_numbers_survive_packing():
    values = np.array([0.0, 1.5, -3.2, np.nan, 1e-3])
    assert np.allclose(unpacked(packed(values)), values, atol=1e-4, equal_nan=True)
    assert np.array_equal(unpacked(packed(np.zeros(3))), np.zeros(3))


def test_the_page_stands_alone_and_holds_what_is_drawn(maps, tmp_path):
    pytest.importorskip("plotly")
    features = {n: strongest_features(maps.grid, n, *maps.of(n), n=4) for n in maps.names}
    answer = Response(maps.names, np.eye(2)[None], np.full((1, 2), 0.01), 100.0, 100.0)
    path = tmp_path / "explain.html"
    write_page(path, {"synthetic": maps, "observed": maps}, features, response=answer)
    text = path.read_text()
    assert path.stat().st_size < 8e6
    assert not re.search(r'<(script|link)[^>]+(src|href)="http', text)
    data = payload(path)
    assert data["labels"] == ["teff", "logg"]
    assert [one["title"] for one in data["sets"]] == ["synthetic", "observed"]
    drawn = unpacked(data["sets"][0]["bins"][0]["mean"]["logg"])
    assert np.allclose(drawn, maps.of("logg")[0], atol=1e-3, equal_nan=True)
    assert len(data["features"]["teff"]) == 4
    assert data["response"]["matrix"] == [[1.0, 0.0], [0.0, 1.0]]


def test_without_plotly_the_page_says_what_to_install(maps, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingDependencyError, match=r"starnet\[explain\]"):
        write_page(tmp_path / "explain.html", {"synthetic": maps}, {})
    assert not (tmp_path / "explain.html").exists()


def test_observed_spectra_alone_are_explained(toy_model, toy_spectra, tmp_path):
    found = explain(Predictor(toy_model), toy_spectra, Settings(occlude="mask", n_features=5))
    assert set(found.maps) == {"observed"}
    assert found.response is None
    names = {path.name for path in found.write(tmp_path, page=False)}
    assert names == {"features.ecsv", "occlusion.ecsv", "map-teff.png", "map-logg.png"}


def test_flagged_spectra_are_left_out_unless_asked_for(toy_model, toy_spectra):
    dim = np.array(toy_spectra.ivar)
    dim[2:] = 1.0  # a signal to noise of 1
    mixed = toy_spectra.replace(ivar=dim)
    predictor = Predictor(toy_model)
    assert explain(predictor, mixed, Settings()).maps["observed"].count[0] == 2
    assert explain(predictor, mixed, Settings(flagged=True)).maps["observed"].count[0] == 6
    none = toy_spectra.replace(ivar=np.ones_like(dim))
    with pytest.raises(DataError, match="flagged"):
        explain(predictor, none, Settings())


def test_some_labels_on_paths(toy_model, toy_spectra):
    found = explain(Predictor(toy_model), toy_spectra, Settings(how="path"), labels=("logg",))
    assert list(found.features) == ["logg"]
    assert found.maps["observed"].how == "path"


def test_a_model_without_emulator_needs_spectra(toy_model, toy_spectra):
    with pytest.raises(ModelError, match="give spectra"):
        explain(Predictor(toy_model))
    with pytest.raises(LabelError, match="no label"):
        explain(Predictor(toy_model), toy_spectra, labels=("mg_fe",))
    with pytest.raises(ConfigError, match="positive"):
        Settings(snr=0.0)


def test_the_command_writes_tables_and_figures(toy_model, toy_spectra, tmp_path, monkeypatch):
    from starnet.cli import app

    monkeypatch.setattr(
        "starnet.inference.load_predictor", lambda *a, **k: Predictor(toy_model, adapts=True)
    )
    monkeypatch.setattr("starnet.surveys.find", lambda what: what)
    monkeypatch.setattr("starnet.surveys.read_many", lambda *a, **k: iter([toy_spectra]))
    out = tmp_path / "explained"
    words = ["explain", "x.fits", "--out", str(out), "--no-html", "--features", "3"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "features on a known line" in done.output
    assert (out / "features.ecsv").exists()
    assert (out / "config.yaml").exists()


def test_the_command_refuses_other_ways():
    from starnet.cli import app

    done = CliRunner().invoke(app, ["explain", "--how", "saliency"])
    assert isinstance(done.exception, ConfigError)


def test_real_and_synthetic_stars_side_by_side(toy_model, toy_emulator):
    """Labels of the population that a toy emulator has; the model reads its pixels."""
    from starnet.models import build_network
    from starnet.preprocess import Pipeline
    from starnet.spectra import Labels, LabelScale

    sizes = {"n_pixels": 600, "n_labels": 3, "n_channels": 1}
    network = build_network({"family": "starnet", "filters": [2, 3], "dense": [8], **sizes}, seed=1)
    labels = Labels(("teff", "logg", "fe_h"), [[4500.0, 1.5, -1.0], [5500.0, 4.5, 0.3]])
    model = replace(
        toy_model, network=network.eval(), scale=LabelScale.fit(labels), pipeline=Pipeline(()),
        input_grid=toy_emulator.grid,
    )  # fmt: skip
    predictor = Predictor(model, emulator=toy_emulator)
    from starnet.explain.response import quoted

    seen = quoted(
        toy_emulator.grid, 1 + 0.01 * np.random.default_rng(0).normal(size=(3, 600)), 50.0
    )
    found = explain(predictor, seen, Settings(stars=6, n_features=4, flagged=True))
    assert list(found.maps) == ["synthetic", "observed"]
    assert found.response is not None
    assert found.response.each.shape == (6, 3, 3)
    assert found.agreement is not None
    assert found.agreement.slope.shape == (6, 3)
