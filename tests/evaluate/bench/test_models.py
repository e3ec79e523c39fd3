"""A result depends on the models and emulators that its entry names, and on what they hold."""

import pytest

from starnet import _shipped
from starnet.evaluate.bench import Suite
from starnet.evaluate.bench.models import code_digest, digests, models_of


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of made-up models and emulators that stand for those of the package."""
    for place in ("models/apogee", "emulators/apogee", "emulators/optical"):
        folder = tmp_path / "shipped" / place
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{}")
        (folder / "weights.safetensors").write_bytes(b"1")
    monkeypatch.setattr(_shipped, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


ENTRIES = {
    "reader": ({"reader": "apogee"}, "models/apogee"),
    "shipped": ({"finetune": "apogee"}, "models/apogee"),
    "pretrained": ({"finetune": "miles"}, "emulators/optical"),
    "given": ({"finetune": "miles", "readers": ["apogee"]}, "models/apogee"),
    "emulator": ({"method": "payne", "emulator": "apogee"}, "emulators/apogee"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_another_model_of_the_same_name_is_another_digest(name, shipped):
    entry, place = ENTRIES[name]
    suite = {"name": "try", "data": {"from": "files"}, "labels": ["teff"], "methods": {"a": entry}}
    own = Suite.from_dict(suite).methods["a"]
    before = models_of(own)
    assert list(before) == [place]
    (shipped / place / "weights.safetensors").write_bytes(b"2")
    after = models_of(own)
    assert list(after) == [place]
    assert after != before


def test_what_names_no_model_has_none_and_what_is_not_there_is_empty(make):
    assert models_of(make().methods["linear"]) == {}
    assert digests([("models", "no such model"), ("models", None)]) == {"models/no such model": ""}


def test_the_code_of_methods_has_a_digest(tmp_path, monkeypatch):
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "one.py").write_text("a = 1")
    monkeypatch.setattr("starnet.evaluate.bench.models.resources.files", lambda _: tmp_path)
    before = code_digest()
    (tmp_path / "baselines" / "one.py").write_text("a = 2")
    assert code_digest() != before
