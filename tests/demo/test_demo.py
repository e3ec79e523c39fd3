"""The demo with a small emulator and an untrained model: files, catalogue, limits, report."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from starnet.artifact import Model
from starnet.catalog import read_table
from starnet.cli import app
from starnet.demo import run as run_module
from starnet.demo import run_demo, write_report
from starnet.demo.files import write_apstar
from starnet.demo.lines import brackett, line_names
from starnet.errors import ConfigError, ModelError, OutputError, StarNetError
from starnet.inference import LabelFlag, Predictor
from starnet.library import draw
from starnet.models import build_network
from starnet.models.emulator import EmulatorConfig, EmulatorNetwork
from starnet.preprocess import ChipMedian, InterpolateMasked, Pipeline
from starnet.spectra import Labels, LabelScale
from starnet.surveys import read_file
from starnet.synthesis.emulator import Emulator
from starnet.synthesis.emulator.hull import LabelHull
from starnet.synthesis.observe import Instrument

SHARP = Instrument.preset("apogee-sharp").grid
APOGEE = Instrument.preset("apogee").grid
STARS = draw(200, seed=1)
CENTRES = np.concatenate([np.linspace(a + 100, b - 100, 7).round() for a, b in APOGEE.chips])
N = 24


@pytest.fixture(scope="module")
def emulator():
    """One line for each label, on APOGEE's pixels; its depth follows the label."""
    names, n = STARS.names, len(STARS.names)
    low, high = STARS.bounds().T
    low, high = low - 0.3 * (high - low), high + 0.3 * (high - low)
    config = EmulatorConfig(n, SHARP.n_pixels, components=n, hidden=(4,))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = EmulatorNetwork(config)
    pixel = torch.arange(float(SHARP.n_pixels))
    centres = torch.tensor(CENTRES, dtype=torch.float32)
    lines = torch.exp(-0.5 * ((pixel - centres[:, None]) / 1.8) ** 2)
    state = network.state_dict() | {
        "low": torch.tensor(low), "high": torch.tensor(high), "basis": lines,
        "mean": 1 - 0.25 * lines.sum(dim=0), "bypass.weight": -0.1 * torch.eye(n),
        "head.weight": torch.zeros(n, 4), "head.bias": torch.zeros(n),
    }  # fmt: skip
    network.load_state_dict(state)
    rng = np.random.default_rng(0)
    hull = LabelHull.of(names, low, high, rng.uniform(low, high, (400, n)))
    return Emulator(network.eval(), hull, SHARP, "toy")


@pytest.fixture(scope="module")
def predictor():
    """An untrained model that reads apStar files."""
    pipeline = Pipeline((InterpolateMasked(), ChipMedian()))
    sizes = {"n_pixels": pipeline.output_grid(APOGEE, "rest")[0].n_pixels, "n_labels": 5}
    config = {"family": "starnet", "filters": [1, 1], "dense": [4], "n_channels": 1, **sizes}
    names = ["teff", "logg", "fe_h", "mg_fe", "vmic"]
    scale = LabelScale.fit(STARS.select(names))
    network = build_network(config, seed=1).eval()
    return Predictor(Model(network, scale, pipeline, APOGEE, "rest", name="toy"))


@pytest.fixture(scope="module")
def result(emulator, predictor, tmp_path_factory):
    out = tmp_path_factory.mktemp("work") / "demo"
    said: list[str] = []
    made = run_demo(out, n=N, model=predictor, emulator=emulator, say=said.append)
    assert said == list(made.seconds)
    return made, out


def test_every_star_goes_through_files_and_the_catalogue(result):
    made, out = result
    assert len(list((out / "spectra").iterdir())) == N
    table = read_table(out / "labels.fits")
    assert len(table) == len(made) == N
    assert not np.any(np.asarray(table["flag"]) & LabelFlag.FAILED)
    assert made.predicted.names == ("teff", "logg", "fe_h", "mg_fe", "vmic")
    assert np.array_equal(made.predicted.column("teff"), np.asarray(made.table["teff"].value))
    assert made.truth.names == (*STARS.names, "vmac")
    assert made.limit.shape == (N, 21)
    assert np.all(made.limit > 0)
    assert (out / "truth.ecsv").is_file()


def test_files_hold_the_spectra_that_were_observed(result):
    made, out = result
    read = read_file(out / "spectra" / "apStar-demo-0007.fits")
    seen = made.seen[7]
    assert str(read.ids[0]) == "apStar-demo-0007"
    assert read.grid.matches(seen.grid)
    assert np.array_equal(read.mask, seen.mask)
    good = ~seen.mask
    assert np.allclose(read.flux[good] / 250.0, seen.flux[good], rtol=1e-5)
    assert np.allclose(read.ivar[good] * 250.0**2, seen.ivar[good], rtol=1e-4)


def test_the_limit_falls_with_the_signal_to_noise(result):
    made, _ = result
    snr = np.asarray(made.seen.snr)
    order = np.argsort(snr)
    assert made.limit[order[-6:], 0].mean() < 0.6 * made.limit[order[:6], 0].mean()


class Reader(HTMLParser):
    """Counts what a page holds, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        for name, value in attrs:
            if name in ("src", "href"):
                (
                    self.images if value.startswith("data:image/png;base64,") else self.fetched
                ).append(value)
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_page_that_fetches_nothing(result):
    made, out = result
    path = write_report(made, out / "report.html")
    text = path.read_text()
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    assert not reader.fetched
    assert len(reader.images) == 7
    assert all(len(image) > 10_000 for image in reader.images)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text)
    for words in ("Kiel diagram", "Cramér-Rao", "temperature sequence", "[Mg/Fe]", "seed"):
        assert words in text
    assert path.stat().st_size < 6e6


def test_lines_are_named_after_the_label_that_deepens_them(emulator):
    labels = Labels(STARS.names, np.median(STARS.values, axis=0)[None])
    centres = SHARP.wavelength[CENTRES.astype(int)]
    names = {"mg_fe": "Mg", "ni_fe": "Ni", "c_fe": "CO", "o_fe": "OH"}
    found = line_names(emulator, labels)
    for label, name in names.items():
        at = centres[STARS.names.index(label)]
        assert min(abs(wave - at) for wave, title in found if title == name) < 0.5


def test_hydrogen_is_where_its_formula_says():
    lines = {name: at for at, name in brackett(15000.0, 17000.0)}
    assert lines["H 11-4"] == pytest.approx(16811.1, abs=0.2)  # vacuum; 16806.5 in air
    assert lines["H 13-4"] == pytest.approx(16113.7, abs=0.2)


def test_what_cannot_be_done_is_one_sentence(result, emulator, predictor, tmp_path):
    made, _ = result
    with pytest.raises(ConfigError, match="at least 20 stars"):
        run_demo(tmp_path, n=3, model=predictor, emulator=emulator)
    with pytest.raises(ModelError, match="no emulator"):
        run_demo(tmp_path, model=predictor, emulator=tmp_path / "nowhere")
    own = tmp_path / "spectra"
    own.mkdir()
    (own / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="holds other files"):
        write_apstar(made.seen[:1], own)
    assert (own / "mine.txt").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["spectra"]


def test_the_command_writes_the_report(emulator, predictor, tmp_path, monkeypatch, capsys):
    folder = emulator.save(tmp_path / "toy")
    monkeypatch.setattr(run_module, "load", lambda model: predictor)
    words = ["demo", "-n", "20", "--emulator", str(folder), "--out", str(tmp_path / "out")]
    app(words, standalone_mode=False)
    assert (tmp_path / "out" / "report.html").is_file()
    assert "report.html" in capsys.readouterr().out.replace("\n", "")
    with pytest.raises(StarNetError, match="belong to a folder of spectra"):
        app(["demo", "--key", "x"], standalone_mode=False)
    with pytest.raises(StarNetError, match="no folder"):
        app(["demo", "--data", str(tmp_path / "nowhere")], standalone_mode=False)
