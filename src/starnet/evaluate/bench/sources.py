"""Where the stars of a suite come from: files of a user, a plan to synthesize, or drawn ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from starnet._whole import write_text
from starnet.dataset import LabelTable, SpectraDataset, build, find_labels, open_dataset
from starnet.errors import ConfigError, DataError, LabelError
from starnet.evaluate.bench.models import digests
from starnet.surveys import find

if TYPE_CHECKING:
    from starnet.library import LibraryPlan

From = Literal["files", "plan", "drawn"]
BLOCK = 500
"""Spectra that are drawn at a time."""
HASHED = ("flux", "ivar", "mask", "labels", "label_errors")
"""Arrays that a data set's digest is of."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Where stars come from, unless the user names a data set.

    Attributes
    ----------
    kind : str
        "files": spectra of the user, with a label table. "plan": synthesized by a plan, see
        `starnet synth`. "drawn": emulated as the recipe of a shipped model says.
    how : str
        With "files": how to get them, for the message.
    table, key : str
        With "files": pattern of the label table's name, and its column that names the star.
        Default: found.
    plan, model : str
        Names.
    n : int
        Stars that are made.
    snr : (float, float), optional
        With "drawn".
    seed : int
        With "drawn".
    """

    kind: From
    how: str = ""
    table: str = ""
    key: str = ""
    plan: str = ""
    model: str = ""
    n: int = 0
    snr: tuple[float, float] | None = None
    seed: int = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Source:
        """From what YAML holds, with the kind under ``from``.

        Raises
        ------
        ConfigError
            If the kind or a setting is unknown.
        """
        values = dict(data)
        kind = values.pop("from", None)
        if kind not in get_args(From):
            raise ConfigError(
                f"data and training are from {', '.join(get_args(From))}; received {kind!r}."
            )
        if (snr := values.get("snr")) is not None:
            values["snr"] = (float(snr[0]), float(snr[1]))
        try:
            return cls(kind, **values)
        except TypeError as error:
            raise ConfigError(f"A source from {kind} is spelled wrongly: {error}.") from error


def opened(
    source: Source,
    given: Path | None,
    store: Path,
    *,
    table: Path | None = None,
    report: Report | None = None,
    progress: bool = True,
) -> SpectraDataset:
    """The data set of a source: the user's, or one that is made in ``store`` if it is not there.

    Parameters
    ----------
    source : Source
    given : path or None
        What the user named: a data set, or a folder of spectra.
    store : path
        Where it is made.
    table : path, optional
        Label table, where it is not in the folder.

    Raises
    ------
    ConfigError
        If nothing was named and the source cannot be made; the message says how to get it.
    DataError
        If what was named is no data set and no spectra.
    """
    say = report or (lambda text: None)
    if given is not None:
        if (given / "zarr.json").is_file():
            return open_dataset(given)
        if not given.exists():
            raise DataError(f"{given} does not exist; a data set or a folder of spectra is needed.")
        return _built(source, given, table, store, say, progress)
    if source.kind == "files":
        raise ConfigError(f"This suite needs spectra of yours: --data FOLDER. {source.how}".strip())
    origin = {k: v for k, v in asdict(source).items() if k != "how"}
    if source.kind == "drawn":
        origin["holds"] = digests([("models", source.model)])
    elif source.kind == "plan":
        origin["holds"] = _plan(source).digest()
    if not _made(store, origin):
        maker = {"plan": _synthesized, "drawn": _drawn}[source.kind]
        maker(source, store, say, progress)
        _remember(store, origin)
    return open_dataset(store)


def digest(dataset: SpectraDataset) -> str:
    """Short name of what a data set holds: pixels, labels and names; not of when it was made."""
    found = hashlib.blake2b(digest_size=16)
    grid = [dataset.grid.to_dict(), dataset.frame, list(dataset.label_names)]
    found.update(json.dumps(grid, sort_keys=True, default=str).encode())
    found.update("\n".join([*dataset.ids, *dataset.stars]).encode())
    for name in HASHED:
        files = sorted(p for p in (dataset.path / name).rglob("*") if p.is_file())
        for path in files:
            if path.name != "zarr.json":
                found.update(str(path.relative_to(dataset.path)).encode())
                found.update(path.read_bytes())
    return found.hexdigest()


def _built(
    source: Source, folder: Path, table: Path | None, store: Path, say: Report, progress: bool
) -> SpectraDataset:
    labels = table or _table(source, folder)
    files = [path for path in find(folder) if path != labels]
    facts = [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    if labels is not None:
        facts.append([str(labels), labels.stat().st_size, labels.stat().st_mtime_ns])
    origin = {"files": hashlib.sha256(json.dumps(facts).encode()).hexdigest()}
    if not _made(store, origin):
        say(f"building a data set of {len(files)} files")
        known = _known(source, folder, labels)
        build(files, known, store, overwrite=store.exists(), resume=False, progress=progress)
        _remember(store, origin)
    return open_dataset(store)


def _known(source: Source, folder: Path, labels: Path | None) -> LabelTable:
    """The labels of a folder's stars; a table that is not understood is for `dataset build`."""
    try:
        if labels is not None and source.key:
            return LabelTable.read(labels, source.key, duplicates="first")
        return find_labels(folder, labels, key=source.key)
    except LabelError as error:
        reason = str(error).split(" Name the ")[0]
        raise LabelError(
            f"{reason} Make a data set with `starnet dataset build`, which takes the column with "
            "--key, and give that with --data."
        ) from error


def _table(source: Source, folder: Path) -> Path | None:
    """The label table of the suite's name for it, if it is in the folder."""
    if not source.table:
        return None
    found = sorted(folder.glob(source.table))
    if not found:
        raise DataError(
            f"{folder} has no label table {source.table}. Put it there, or name it with --table. "
            f"{source.how}".strip()
        )
    return found[0]


def _plan(source: Source) -> LibraryPlan:
    from starnet.library import load_plan

    plan = load_plan(source.plan)
    return plan.with_settings(n=source.n) if source.n else plan


def _synthesized(source: Source, store: Path, say: Report, progress: bool) -> None:
    from starnet.library import make_library

    plan = _plan(source)
    say(
        f"synthesizing {plan.n} stars by the plan {source.plan}, which takes hours; an interrupted "
        "run goes on. Or make them elsewhere with `starnet synth`, and name them with --data"
    )
    make_library(plan, store, overwrite=store.exists(), progress=progress)


def _drawn(source: Source, store: Path, say: Report, progress: bool) -> None:
    from starnet.dataset import DatasetWriter
    from starnet.inference import load_predictor
    from starnet.inference.drawn import draw_spectra

    predictor = load_predictor(source.model)
    model, emulator = predictor.model, predictor.emulator
    if emulator is None:
        raise ConfigError(f"The model {source.model!r} has no emulator to draw spectra with.")
    settings = {"model": source.model, "seed": source.seed, "snr": source.snr}
    settings["holds"] = digests([("models", source.model)])
    options: dict[str, Any] = {
        "grid": model.input_grid, "frame": model.input_frame, "label_names": model.labels,
        "overwrite": store.exists(), "settings": settings, "provenance": {"name": store.stem},
    }  # fmt: skip
    try:
        made = DatasetWriter(store, resume=True, **options)
    except ConfigError:  # what was begun is of another model or seed
        made = DatasetWriter(store, resume=False, **options)
    with made as writer:
        for start in range(len(writer), source.n, BLOCK):
            n = min(BLOCK, source.n - start)
            seed = int(np.random.SeedSequence([source.seed, start]).generate_state(1)[0])
            spectra, labels = draw_spectra(model, emulator, n, seed=seed, snr=source.snr)
            writer.append(spectra, labels.select(model.labels))
            writer.flush()
            say(f"{len(writer)} of {source.n} spectra drawn")


def _made(store: Path, origin: Mapping[str, Any]) -> bool:
    """Whether the store is there and of this origin."""
    try:
        known = json.loads(_note(store).read_text())
    except (OSError, ValueError):
        return False
    return known == json.loads(json.dumps(origin)) and (store / "zarr.json").is_file()


def _remember(store: Path, origin: Mapping[str, Any]) -> None:
    write_text(_note(store), json.dumps(origin, indent=1) + "\n")


def _note(store: Path) -> Path:
    return store.with_suffix(".json")
