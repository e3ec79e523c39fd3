"""All of it for one model: maps of synthetic and observed stars, features, agreement, response.

found = explain(starnet.load("apogee"))
found.write("explained")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from starnet._whole import whole_file
from starnet.errors import ConfigError, DataError, LabelError, ModelError
from starnet.explain.agreement import Agreement, agreement
from starnet.explain.features import Features, features_table, strongest_features
from starnet.explain.known import KnownLines
from starnet.explain.occlusion import Occlusion, occlusion
from starnet.explain.page import write_page
from starnet.explain.response import MEASURED, UNITS, Response, quoted, response
from starnet.explain.sensitivity import How, Maps, sensitivity
from starnet.inference import LabelFlag, Predictor, flag_words
from starnet.spectra import Labels, Spectra
from starnet.synthesis.emulator import Emulator

Array = NDArray[Any]
SYNTHETIC, OBSERVED = "synthetic", "observed"
COMPARED = 16
"""Stars whose slopes are held against the physics, and that are changed for the response."""
POPULATION = 2000
"""Stars that the covariance of the population is of."""
BAD = (
    LabelFlag.FAILED
    | LabelFlag.LOW_SNR
    | LabelFlag.MANY_MASKED
    | LabelFlag.POOR_FIT
    | LabelFlag.OUTSIDE_HULL
    | LabelFlag.EMISSION
    | LabelFlag.BAD_VELOCITY
)
"""Flags of spectra that a mean map is not of."""
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Settings:
    """What is looked at.

    Attributes
    ----------
    stars : int
        Synthetic stars; 0 for none.
    snr : float
        Signal to noise that they are quoted with, and at which a label must be measured.
    how : "slope" or "path"
    n_features : int
    occlude : "", "mask" or "replace"
    responds : bool
        Whether labels are changed one at a time.
    seed : int
    flagged : bool
        Whether observed spectra count whose prediction is flagged `BAD`.
    """

    stars: int = 48
    snr: float = 100.0
    how: How = "slope"
    n_features: int = 20
    occlude: str = ""
    responds: bool = True
    seed: int = 1
    flagged: bool = False

    def __post_init__(self) -> None:
        if self.stars < 0 or self.n_features < 1 or not self.snr > 0:
            raise ConfigError(
                "stars must be 0 or more, n_features 1 or more and snr positive; received "
                f"{self.stars}, {self.n_features} and {self.snr}."
            )


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found of a model; parts that could not be had are None.

    Attributes
    ----------
    model : str
    maps : mapping of "synthetic", "observed" to Maps
    features : mapping of label to Features
        Of the first maps.
    agreement, response, occlusion
        See their classes.
    """

    model: str
    maps: Mapping[str, Maps]
    features: Mapping[str, Features]
    agreement: Agreement | None = None
    response: Response | None = None
    occlusion: Occlusion | None = None

    def write(self, folder: str | Path, *, page: bool = True) -> list[Path]:
        """Tables (ECSV), figures (PNG) and the interactive page (HTML) into a folder."""
        folder = Path(folder)
        tables = {"features": features_table(list(self.features.values()))}
        tables |= {} if self.agreement is None else {"agreement": self.agreement.table()}
        tables |= {} if self.response is None else {"response": self.response.table()}
        tables |= {} if self.occlusion is None else {"occlusion": _occlusion_table(self.occlusion)}
        out = [_write_table(table, folder / f"{name}.ecsv") for name, table in tables.items()]
        if page:
            title = f"Where {self.model} looks"
            path = folder / "explain.html"
            out.append(
                write_page(
                    path, self.maps, self.features, response=self.response, title=title,
                    lead=self._lead(),
                )
            )  # fmt: skip
        return [*out, *self._figures(folder)]

    def _figures(self, folder: Path) -> list[Path]:
        from starnet.plots import save
        from starnet.plots.response import response_matrix
        from starnet.plots.sensitivity import sensitivity_map

        out = []
        first = next(iter(self.maps.values()))
        wave = first.grid.to_vacuum().wavelength
        for label, found in self.features.items():
            curves: dict[str, tuple[Array, Array | None]] = {
                title: one.of(label) for title, one in self.maps.items()
            }
            figure = sensitivity_map(
                label, wave, first.flux[0], curves, chips=first.grid.chips, marks=_marks(found),
                unit="" if first.how == "slope" else f"part of {label} from this pixel",
            )  # fmt: skip
            out.append(save(figure, folder / f"map-{label}.png", dpi=110))
        if self.response is not None:
            found = self.response
            figure = response_matrix(
                found.names, found.matrix, measured=found.counted,
                title=f"{self.model}, errors quoted as of S/N {found.snr:g}",
            )  # fmt: skip
            out.append(save(figure, folder / "response.png", dpi=130))
        return out

    def _lead(self) -> str:
        counts = [f"{one.count[0]} {title}" for title, one in self.maps.items()]
        first = next(iter(self.maps.values()))
        return (
            f"{' and '.join(counts)} stars on {first.grid.describe()}. Features are named by the "
            "lines of the package that are at least 1 % deep, at this resolution, in one of five "
            "kinds of stars."
        )


def explain(
    predictor: Predictor,
    spectra: Spectra | None = None,
    settings: Settings | None = None,
    *,
    labels: Sequence[str] = (),
    windows: Callable[[Any], Mapping[str, Array]] | None = None,
    tell: Tell | None = None,
) -> Explanation:
    """Where a model looks, and whether it cheats.

    Parameters
    ----------
    predictor : Predictor
        With an emulator, stars of a realistic population are made by it.
    spectra : Spectra, optional
        Observed ones, as the predictor takes them (``predictor.assign``).
    settings : Settings, optional
    labels : sequence of str
        Labels whose features are listed and drawn. Default: all.
    windows : callable, optional
        From a grid to weights of pixels by label, such as `read_windows` of a folder.
    tell : callable, optional
        Told what is being done, how much of it, and of how much.

    Raises
    ------
    LabelError
        If the model lacks a label that is asked for.
    ModelError
        If there are neither spectra nor an emulator.
    """
    settings = settings or Settings()
    model = predictor.model
    if strange := [name for name in labels if name not in model.labels]:
        raise LabelError(
            f"The model {model.name!r} has no label {strange[0]!r}; it has "
            f"{', '.join(model.labels)}."
        )
    stars, made = _synthetic(predictor, settings)
    if spectra is None and made is None:
        raise ModelError(
            f"The model {model.name!r} names no emulator in its card, so no stars can be made to "
            "look at: give spectra too."
        )
    say = tell or (lambda what, done, total: None)
    maps: dict[str, Maps] = {}
    for title, some in ((SYNTHETIC, made), (OBSERVED, spectra)):
        if some is None or not len(some):
            continue
        keep = _measured(predictor, stars, settings.snr) if title == SYNTHETIC else None
        if title == OBSERVED and not settings.flagged:
            some = spectra = unflagged(predictor, some)
        maps[title] = sensitivity(
            model, some, how=settings.how, keep=keep,
            progress=partial(_told, say, f"maps, {title}", len(some)),
        )  # fmt: skip
    first = next(iter(maps.values()))
    lines = KnownLines.shipped().on(first.grid)
    wanted = tuple(labels) or model.labels
    features = {
        name: strongest_features(
            first.grid, name, *first.of(name), lines=lines, n=settings.n_features
        )
        for name in wanted
    }
    found = None if stars is None else _agreement(predictor, stars, made, windows)
    answer = _response(predictor, stars, settings, say) if settings.responds else None
    hidden = None
    if settings.occlude:
        some = made if spectra is None else spectra
        hidden = occlusion(
            model, some, how=settings.occlude,  # type: ignore[arg-type]
            progress=lambda n, m: say("occlusion", n, m),
        )  # fmt: skip
    return Explanation(model.name, maps, features, found, answer, hidden)


def unflagged(predictor: Predictor, spectra: Spectra) -> Spectra:
    """The spectra that are what the model is for, by the flags of their prediction.

    Raises
    ------
    DataError
        If none is.
    """
    found = replace(predictor, compares=True).predict(spectra)
    good = ~np.any(found.flags & int(BAD), axis=1)
    if not good.any():
        bits = int(np.bitwise_or.reduce(found.flags, axis=None)) & int(BAD)
        raise DataError(
            f"All {len(spectra)} spectra are flagged ({flag_words(bits)}): where a network looks "
            "in spectra that it is not for says little. Give others, or take all (--flagged)."
        )
    return spectra[np.flatnonzero(good)]


def _synthetic(predictor: Predictor, settings: Settings) -> tuple[Labels | None, Spectra | None]:
    """Stars of the population and their emulated spectra, without noise."""
    emulator = predictor.emulator
    if emulator is None or settings.stars == 0:
        return None, None
    stars = stars_for(emulator, settings.stars, settings.seed, vmac=True)
    grid = predictor.model.input_grid
    made = emulator.on(grid).synthesize(stars, grid)
    return stars, quoted(grid, made.normalized, settings.snr)


def stars_for(emulator: Emulator, n: int, seed: int, *, vmac: bool = False) -> Labels:
    """Stars of the package's population, with the labels that an emulator has (and vmac)."""
    from starnet.library import draw

    def own(labels: Labels) -> Labels:
        return labels.select([name for name in labels.names if name in (*emulator.labels, "vmac")])

    drawn = draw(n, seed, accept=lambda labels: emulator.covers(own(labels)), vmac=vmac)
    return own(drawn)


def _measured(
    predictor: Predictor, stars: Labels | None, snr: float
) -> dict[str, NDArray[np.bool_]] | None:
    """Stars in which each label is measured; labels that are in none are averaged over all."""
    from starnet.evaluate import cramer_rao

    if stars is None or predictor.emulator is None:
        return None
    here = predictor.emulator.on(predictor.model.input_grid)
    limit = cramer_rao(here, stars, snr=snr)
    out = {}
    for i, name in enumerate(here.labels):
        known = limit[:, i] < MEASURED * UNITS.get(name, 1.0)
        if name in predictor.labels and known.any():
            out[name] = known
    return out


def _agreement(
    predictor: Predictor,
    stars: Labels,
    made: Spectra | None,
    windows: Callable[[Any], Mapping[str, Array]] | None,
) -> Agreement | None:
    emulator, model = predictor.emulator, predictor.model
    if emulator is None or made is None or model.grid.medium != "vacuum":
        return None
    rows = slice(0, COMPARED)
    population = stars_for(emulator, POPULATION, 0)
    given = None if windows is None else windows(model.grid)
    return agreement(model, made[rows], emulator, stars[rows], population=population, windows=given)


def _response(
    predictor: Predictor, stars: Labels | None, settings: Settings, say: Tell
) -> Response | None:
    emulator = predictor.emulator
    if emulator is None or stars is None:
        return None
    here = emulator.on(predictor.model.input_grid)
    return response(
        predictor, stars[:COMPARED], here, here, snr=settings.snr,
        progress=lambda n: say("response", n, 0),
    )  # fmt: skip


def _told(say: Tell, what: str, total: int, done: int) -> None:
    say(what, done, total)


def _marks(found: Features) -> list[tuple[float, str, bool]]:
    rows = found.rows()
    return [(r["wavelength"], r["species"] or r["beside"], bool(r["species"])) for r in rows]


def _occlusion_table(found: Occlusion) -> Table:
    out = Table(
        {"start": np.round(found.windows[:, 0], 2), "stop": np.round(found.windows[:, 1], 2)}
    )
    for i, name in enumerate(found.names):
        out[name] = [float(f"{v:.4g}") for v in found.mean[:, i]]
        out[f"{name}_err"] = [float(f"{v:.2g}") for v in found.error[:, i]]
        out[f"{name}_rms"] = [float(f"{v:.4g}") for v in found.size[:, i]]
    out.meta = {"how": found.how}
    return out


def _write_table(table: Table, path: Path) -> Path:
    with whole_file(path, "The table") as partial:
        table.write(partial, format="ascii.ecsv", overwrite=True)
    return path
