"""What the documentation says exists, and the examples of the readme run."""

import ast
import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from astropy.table import Table
from typer.testing import CliRunner

import starnet
from starnet.cli import app
from starnet.inference import LabelFlag

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import _pages  # noqa: E402
import _results  # noqa: E402
import _tables  # noqa: E402
import _toy  # noqa: E402

PAGES = [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md"]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Any]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAGES]


def fences(path: Path, *kinds: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text()) if kind in kinds]


def inline(path: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", path.read_text()))


def commands(path: Path) -> list[str]:
    """Command lines in console blocks and in running text."""
    lines = "\n".join(fences(path, "console")).splitlines()
    shell = [line[2:].split("  #")[0] for line in lines if line.startswith("$ ")]
    return shell + [text for text in inline(path) if re.match(r"(starnet|make) [a-z]", text)]


def command_tree() -> dict[str, Any]:
    return dict(_tables.commands())


def options_of(command: Any) -> set[str]:
    return {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("path", pages())
def test_every_command_and_flag_exists(path):
    tree = command_tree()
    groups = {name.rsplit(" ", 1)[0] for name in tree}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(path):
        words = shlex.split(line)
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word]
            assert set(named) <= targets, line
        elif words[0] == "starnet" and words[1:2] not in ([], ["--help"], ["COMMAND"]):
            name = next((" ".join(words[:n]) for n in (3, 2) if " ".join(words[:n]) in tree), None)
            assert name or " ".join(words[:2]) in groups, line
            flags = {word.split("=")[0] for word in words if word.startswith("--")}
            assert not flags or (name and flags <= options_of(tree[name])), line


@pytest.mark.parametrize("path", pages())
def test_every_dotted_name_exists(path):
    names = set(re.findall(r"\bstarnet(?:\.\w+)+", "\n".join(inline(path))))
    names |= set(re.findall(r"^\.\. auto\w+:: (starnet\S+)", path.read_text(), re.MULTILINE))
    for name in names - {"starnet.egg", "starnet-2018"}:
        assert resolve(name) is not None, name


def resolve(name: str) -> Any:
    """The object of a dotted name, or None."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part, None)
        return found
    return None


@pytest.mark.parametrize("path", pages())
def test_every_import_in_an_example_is_there(path):
    for body in fences(path, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("starnet"):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


@pytest.mark.parametrize("path", pages())
def test_every_link_leads_somewhere(path):
    text = FENCE.sub("", path.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", pages())
def test_every_recipe_and_suite_in_an_example_is_one(path):
    from starnet.evaluate.bench.suite import Suite
    from starnet.training import Recipe

    for body in fences(path, "yaml"):
        values = yaml.safe_load(body)
        if "methods" in values:
            assert Suite.from_dict(values).methods, body
        else:
            assert Recipe.from_dict(values) != Recipe(), body


@pytest.mark.parametrize("name", sorted(_tables.GENERATED))
def test_generated_parts_have_content_and_a_page(name):
    mark = f"<!-- generated: {name} -->"
    assert any(mark in path.read_text() for path in DOCS.glob("*.md"))
    made = _tables.expand(f"before\n\n{mark}\n\nafter")
    assert mark not in made
    assert len(made) > 60


def test_settings_are_all_explained():
    for made in (_tables.training_settings(), _tables.recipe_settings()):
        assert not re.search(r"\|\s*\|$", made, re.MULTILINE), made


def test_unknown_mark_is_an_error():
    with pytest.raises(KeyError):
        _tables.expand("<!-- generated: nothing-of-the-kind -->")


def test_hand_made_tables_are_complete(toy_model, toy_spectra):
    from starnet.inference import Predictor
    from starnet.inference.predict import CARRIED
    from starnet.preprocess import TRANSFORMS
    from starnet.surveys import SURVEYS

    reading, predicting = (DOCS / "reading.md").read_text(), (DOCS / "predicting.md").read_text()
    assert [name for name in SURVEYS if f"\n| `{name}` |" not in reading] == []
    terms = re.findall(r"^(`.+)\n: ", (DOCS / "preprocessing.md").read_text(), re.MULTILINE)
    assert [n for n in TRANSFORMS if n != "Pipeline" and f"`{n}`" not in " ".join(terms)] == []
    table = Predictor(toy_model).predict(toy_spectra).to_table()
    columns = {*table.colnames, *CARRIED} - {"teff", "teff_flag", "logg", "logg_flag"}
    assert [column for column in columns if f"`{column}`" not in predicting] == []


def test_every_room_is_in_the_architecture():
    text = (DOCS / "architecture.md").read_text()
    inside = [p for p in (ROOT / "src" / "starnet").iterdir() if not p.name.startswith(("_", "."))]
    rooms = [f"{p.name}/" if p.is_dir() else p.name for p in inside if p.name != "py.typed"]
    assert [room for room in rooms if f"| `{room}` |" not in text] == []


def test_vision_has_five_sentences():
    text = (ROOT / "VISION.md").read_text().split("\n\n", 1)[1].strip()
    assert len(re.findall(r"[.!?](?=\s|$)", text)) == 5


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == starnet.__version__
    assert f"## {starnet.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_results_page_without_results(tmp_path):
    page = _results.results(tmp_path)
    assert page.count("**Not measured yet.**") == len(_results.BENCHMARKS)
    assert "`shipped.teff` ≤ 90" in page


def test_summary_of_results(tmp_path):
    figures = {"sun_r2000": 0.0159, "stars": {"sun": {"r2000": 1.0}}, "made": {}}
    (tmp_path / "physics-3.json").write_text(json.dumps(figures))
    page = _results.summary("physics", tmp_path)
    assert "| `sun_r2000` | 0.0159 |" in page
    assert "| `pysme_sun_r2000` | not measured |" in page
    assert "| `worst_relative` | not measured | ≤ 0.02 |" in page
    assert "`stars" not in page
    assert "MILES" not in page


def test_results_page_says_what_is_met_and_missed(tmp_path):
    made = {
        "command": "python benchmarks/x.py",
        "seed": 1,
        "commit": "abc",
        "machine": {"cores": 2},
    }
    figures = {"shipped": {"teff": 88.25, "logg": 0.231}, "table": [{"task": "a", "rate": 2}]}
    figures["each"] = {f"star_{i}": 0.5 for i in range(60)}
    (tmp_path / "spectra-1.json").write_text(json.dumps({**figures, "made": made}))
    peaks = {"peak_gb": 1.504, "peak_gb_10x": 1.496, "made": {**made, "uncommitted_changes": True}}
    (tmp_path / "spectra-3.json").write_text(json.dumps(peaks))
    (tmp_path / "other-1.json").write_text(json.dumps({"a": 1234567, "made": made}))
    page = _results.results(tmp_path)
    assert "| `shipped.teff` | 88.25 | ≤ 90 | met |" in page
    assert "| `shipped.logg` | 0.231 | ≤ 0.23 | **missed** |" in page
    assert "| `shipped.fe_h` | not measured | ≤ 0.11 | |" in page
    assert "| `peak_gb_10x` | 1.496 | ≤ `peak_gb` | met |" in page
    assert "| a | 2 |" in page
    assert "`each`: 60 more." in page
    assert "star_7" not in page
    assert "| `a` | 1,234,567 |" in page
    assert "`python benchmarks/x.py`" in page
    assert "abc with uncommitted changes" in page


def test_figures_of_one_form_have_one_target(tmp_path):
    ratios = {"lamost": {"teff": 1.1, "logg": 1.3}, "beside": {"matrix": [[0.5] * 20] * 20}}
    (tmp_path / "errors-3.json").write_text(json.dumps({**ratios, "made": {}}))
    page = _results.results(tmp_path)
    assert "| `lamost.teff` | 1.1 | 0.8 to 1.25 | met |" in page
    assert "| `lamost.logg` | 1.3 | 0.8 to 1.25 | **missed** |" in page
    assert "| `lamost.*` |" not in page
    assert "| `apogee.*` | not measured | 0.8 to 1.25 |" in page
    assert "`beside.matrix`: a matrix." in page


def test_tables_of_errors(tmp_path):
    assert "Not measured" in _results.coverage_of_errors(tmp_path)
    assert "Not measured" in _results.crps_of_methods(tmp_path)
    found = {"off_68": {"teff": 0.51}, "off_95": {"teff": -0.2}}
    raw = {"off_68": {"teff": -9.0}, "off_95": {"teff": -4.0}}
    crps = {"calibrated": {"teff": 9.1234}, "raw": {"teff": 9.2}}
    (tmp_path / "errors-1.json").write_text(json.dumps({**found, "raw": raw, "crps": crps}))
    coverage, scores = _results.coverage_of_errors(tmp_path), _results.crps_of_methods(tmp_path)
    assert "| `teff` | -9.0 | +0.5 | -4.0 | -0.2 |" in coverage
    assert scores.splitlines() == [
        "| label | calibrated | raw |", "|---|---:|---:|", "| `teff` | 9.123 | 9.2 |",
    ]  # fmt: skip


@pytest.fixture
def stars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the readme supposes it: ``spectra/``, ``labels.csv`` and ``new/``."""
    _toy.write_miles(tmp_path / "spectra", n=40, seed=1).write(tmp_path / "labels.csv")
    _toy.write_miles(tmp_path / "new", n=3, seed=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def my_apstar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``my_apStar.fits``, of a made-up star."""
    from starnet.demo.files import write_apstar
    from starnet.demo.stars import draw_labels, observe
    from starnet.synthesis.emulator import Emulator

    emulator = Emulator.load("apogee")
    (path,) = write_apstar(observe(emulator, draw_labels(emulator, 1)), tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    return path.rename(tmp_path / "my_apStar.fits")


def test_a_spectrum_is_labelled_out_of_the_box(my_apstar):
    body, _ = fences(ROOT / "README.md", "python")
    names: dict[str, Any] = {}
    exec(compile(body, "README.md", "exec"), names)
    assert 3500 < names["table"]["teff"][0].value < 7000
    assert names["table"]["teff_err"][0].value > 0
    assert names["sun"].normalized.shape == (1, 8575)
    for line in commands(ROOT / "README.md"):
        if "my_apStar" in line or line.startswith("starnet info apogee"):
            done = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    assert my_apstar.with_name("labels.fits").is_file()
    assert my_apstar.with_name("fits.fits").is_file()


def test_python_example_of_the_readme_runs(stars):
    _, body = fences(ROOT / "README.md", "python")
    exec(compile(quick(body, "epochs=30", "epochs=1"), "README.md", "exec"), {})
    assert {"my-model", "labels.fits"} <= {path.name for path in stars.iterdir()}


def test_shell_example_of_the_readme_runs(stars):
    lines = [line for line in commands(ROOT / "README.md") if line.startswith("starnet ")]
    others = ("download", "physics", "synth", "assess", "calibrate", "explain", "bench", "tune")
    lines = [
        line
        for line in lines
        if line.split()[1] not in others and "my_ap" not in line and "info apogee" not in line
    ]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(quick(line, "--epochs 30", "--epochs 1"))
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    assert (stars / "labels.fits").is_file()
    assert any((stars / "figures").glob("*.png"))


def test_recipe_that_takes_observed_files_as_they_are(tmp_path, monkeypatch):
    """The last part of the page on training: ToRest and Resample inside the model."""
    monkeypatch.chdir(tmp_path)
    labels = _toy.random_labels(12, seed=5)
    for row in labels:
        values = (row["teff"], row["logg"], row["fe_h"])
        _toy.write_spec(f"spec-0266-51630-{row['star']}.fits", *values, seed=int(row["star"]))
    labels["star"] = [f"0266-51630-{name}" for name in labels["star"]]
    labels.write("labels.csv")
    recipe = yaml.safe_load(fences(DOCS / "training.md", "yaml")[-1])
    Path("mine.yaml").write_text(yaml.safe_dump({**recipe, "training": {"epochs": 1}}))
    for line in (
        "dataset build spec-*.fits --labels labels.csv --out stars.zarr "
        "--resample 4370,5240,871,linear,vacuum",
        "train stars.zarr --out my-model --recipe mine.yaml",
        "predict spec-*.fits --model my-model --out labels.ecsv",
    ):
        done = CliRunner().invoke(app, line.split())
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    table = Table.read("labels.ecsv")
    assert len(table) == 12
    assert not any(table["flag"] & LabelFlag.FAILED)


@pytest.mark.parametrize("name", ["training-set"])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own
def test_page_that_needs_the_physics_inputs_runs(name, shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("STARNET_PHYSICS", str(shared_data / "physics"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{name}.md").read_text()
    for one in _pages.run(text):
        assert one.same(), f"the page holds\n{one.stored}and the code prints\n{one.made}"
    assert [picture for picture in _pages.pictures(text) if not Path(picture).is_file()] == []


def test_figures_are_small_and_used():
    used = {name for path in DOCS.glob("*.md") for name in _pages.pictures(path.read_text())}
    sizes = {path.name: path.stat().st_size for path in _pages.FIGURES.iterdir()}
    assert set(sizes) == used
    assert [name for name, size in sizes.items() if size > _pages.LARGEST] == []


def quick(text: str, long: str, short: str) -> str:
    """The same with less training."""
    return text.replace(long, short)
