"""The report of an assessment: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starnet._version import __version__
from starnet.evaluate.figures import assessment_figures
from starnet.evaluate.results import Assessment, RepeatAssessment
from starnet.evaluate.scores import LEVELS, binomial_band
from starnet.spectra import label_spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from starnet.plots import Page

Array = NDArray[Any]
RIGHT = (0.8, 1.25)
"""Scatter over quoted error between which errors count as right."""
CAPTIONS = {
    "coverage": (
        "Marks: fraction of stars whose truth lies in the central 50, 68, 90 and 95% interval of "
        "what was predicted, minus what it should be, in percentage points. Bars: where 95 of 100 "
        "samples of this size would lie if errors were right. Below 0 errors are too small (or "
        "there is a bias), above too large."
    ),
    "coverage_curves": (
        "Found against nominal coverage (orange) with the band of chance (blue). Below the "
        "diagonal: errors too small, or a bias."
    ),
    "coverage_strata": (
        "68 is right. Orange: errors too small, or a bias; purple: errors too large. In brackets "
        "the number of stars: a stratum of n stars is uncertain by about 47 / sqrt(n) points."
    ),
    "pit": (
        "Probability that was given to values below the truth. Flat is right; horns at both ends "
        "say that errors are too small, a hump that they are too large, a slope that there is a "
        "bias. The grey band is that of chance, in each bin by itself; orange bars are beyond it."
    ),
    "ranks": (
        "Rank of the truth among samples of each prediction: the same question, asked of draws "
        "as one would use them. Flat is right."
    ),
    "z_snr": (
        "Dots: stars; those beyond 5 stand at the edge. Orange: running median, which should lie "
        "on 0. Blue: the middle 68%, which should end at the dashed lines."
    ),
    "z_own": "The same against each label's own value.",
    "over_limit": "1 is the least that any unbiased method can reach.",
    "ratio": (
        "Robust scatter of visits over their quoted errors, with one-sigma error bars. 1 is right; "
        "above, errors are too small. Shaded: 0.8 to 1.25. Marks beyond the axis stand at its end."
    ),
    "ratio_strata": "1 is right. Orange: errors too small; purple: too large.",
    "differences": (
        "Differences of two visits over their quoted error, either sign, and the normal curve that "
        "they follow where errors are right. Tails beyond 5 are in the last bins."
    ),
}
HEADINGS = {
    "coverage": "Coverage",
    "coverage_strata": "Coverage by kind of star",
    "pit": "PIT and rank histograms",
    "z_snr": "z-scores against S/N and labels",
    "over_limit": "Scatter over the limit",
    "ratio": "Scatter over quoted error",
    "ratio_strata": "By kind of star",
    "differences": "Differences of visits",
}


def write_report(
    result: Assessment | RepeatAssessment,
    path: str | Path,
    *,
    title: str = "",
    figures: dict[str, Figure] | None = None,
) -> Path:
    """Write the report, whole or not at all.

    Parameters
    ----------
    result : Assessment or RepeatAssessment
    path : path
    title : str, optional
    figures : dict, optional
        Those of `assessment_figures`, if they were made before.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from starnet.plots import Page

    page = Page(title or "StarNet: can the errors be trusted?")
    if isinstance(result, Assessment):
        _open_truth(page, result)
        table = _truth_table
    else:
        _open_repeats(page, result)
        table = _repeat_table
    for i, (name, figure) in enumerate((figures or assessment_figures(result)).items()):
        if name in HEADINGS:
            page.heading(HEADINGS[name])
        caption = CAPTIONS.get(name, f"The same against {_plain(name.removeprefix('z_'))}.")
        if name == "over_limit":
            caption = f"{caption} {result.about.get('limit', '')}".strip()
        page.figure(figure, caption, dpi=115)
        if i == 0:
            table(page, result)  # type: ignore[arg-type]
    _about(page, result)
    return page.write(path)


def _open_truth(page: Page, result: Assessment) -> None:
    n, found = result.count(), result.coverage()
    at = LEVELS.index(0.68)
    low, high = binomial_band(0.68, n)
    small = [_plain(m) for m, c, b in zip(result.names, found[at], low, strict=True) if c < b]
    large = [_plain(m) for m, c, b in zip(result.names, found[at], high, strict=True) if c > b]
    page.text(
        f"Labels of {len(result)} spectra held against the truth. If the errors are right, the "
        "truth lies in the 68% interval 68 times in 100, and so at every level, for every label "
        "and for every kind of star.",
        lead=True,
    )
    gap = 100 * np.abs(found - np.array(LEVELS)[:, None])
    factor = np.array([row["factor"] for row in _rows(result, "all")])
    worst = int(np.nanargmax(np.abs(np.log(factor))))
    facts = [
        (str(len(result)), "spectra"),
        (f"{100 * np.nanmedian(found[at]):.0f}%", "of truths in the 68% interval, median label"),
        (f"{np.nanmax(gap[at]):.0f} points", "farthest label from 68%"),
        (f"{np.nanmax(gap[-1]):.0f} points", "farthest label from 95%"),
        (f"{factor[worst]:.2f}", f"scatter over quoted error, {_plain(result.names[worst])}"),
    ]
    page.facts(facts)
    page.text(_verdict(small, large))
    if np.any(result.truth.errors > 0):
        page.text(
            "The reference labels have errors of their own; they are added to the quoted ones in "
            "squares, so that what is tested is their sum."
        )


def _verdict(small: Sequence[str], large: Sequence[str]) -> str:
    if not small and not large:
        return "At 68% no label is farther from what is right than chance allows."
    told = []
    if small:
        told.append(f"Errors are too small, beyond chance, for {', '.join(small)}.")
    if large:
        told.append(f"They are too large for {', '.join(large)}.")
    return " ".join(told)


def _truth_table(page: Page, result: Assessment) -> None:
    rows, n = _rows(result, "all"), result.count()
    lines = []
    for row, count in zip(rows, n, strict=True):
        cells = []
        for level in LEVELS:
            value = float(row[f"coverage_{100 * level:.0f}"])
            low, high = binomial_band(level, count)
            mark = " ▼" if value < low else " ▲" if value > high else ""
            cells.append(f"{100 * value:.1f}{mark}" if np.isfinite(value) else "–")
        numbers = (_number(str(row["label"]), row[k]) for k in ("bias", "scatter", "quoted"))
        z = (_short(row[k]) for k in ("z_median", "z_scatter", "factor"))
        crps = _number(str(row["label"]), row["crps"], 1)
        lines.append([_with_unit(str(row["label"])), str(count), *cells, *numbers, *z, crps])
    page.text(
        "▼ below and ▲ above what chance allows 95 times in 100. Bias is the median of predicted − "
        "true, scatter is robust, quoted the median error (sharpness); z = (predicted − true) / "
        "error; factor is the robust scatter of z about 0, by which errors are too small. CRPS is "
        "the mean continuous ranked probability score, in the unit of the label: smaller is better."
    )
    head = ["label", "n", *(f"{100 * q:.0f}%" for q in LEVELS), "bias", "scatter", "quoted",
            "z median", "z scatter", "factor", "CRPS"]  # fmt: skip
    page.table(head, lines)


def _open_repeats(page: Page, result: RepeatAssessment) -> None:
    found = result.ratio()
    known = np.isfinite(found.ratio)
    right = known & (found.ratio >= RIGHT[0]) & (found.ratio <= RIGHT[1])
    stars = np.unique(result.pairs.star).size
    page.text(
        f"{len(result)} pairs of visits of {stars} stars. Whatever a star is, two spectra of it "
        "should give labels that differ by their errors and no more: no truth is needed.",
        lead=True,
    )
    worst = int(np.nanargmax(np.where(known, np.abs(np.log(np.maximum(found.ratio, 1e-3))), -1)))
    page.facts(
        [
            (str(len(result)), "pairs of visits"),
            (str(stars), "stars with two visits or more"),
            (f"{np.nanmedian(found.ratio):.2f}", "scatter over quoted error, median label"),
            (f"{right.sum()} of {known.sum()}", f"labels from {RIGHT[0]} to {RIGHT[1]}"),
            (f"{found.ratio[worst]:.2f}", f"farthest from 1: {_plain(result.names[worst])}"),
        ]
    )
    page.text(
        "What all visits of a star have wrong alike does not show here: a wrong scale, a physics "
        "that lacks something, a floor of the errors. So the errors that are tested are those of "
        "the noise alone, where the table keeps them apart (`LABEL_err_noise`)."
    )
    lacking = result.about.get("without noise errors", ())
    if lacking:
        told = (
            "all labels" if len(lacking) == len(result.names) else ", ".join(map(_plain, lacking))
        )
        page.text(
            f"The table does not keep them apart for {told}: there the whole quoted error is "
            "tested, and a ratio below 1 may only say that it holds a floor which repeats share."
        )


def _repeat_table(page: Page, result: RepeatAssessment) -> None:
    lines = []
    for row in _rows(result, "all"):
        name = str(row["label"])
        pair = (_number(name, row[k]) for k in ("scatter", "quoted"))
        over = _pm(row["over_limit"], row["over_limit_err"])
        ratio = _pm(row["ratio"], row["ratio_err"])
        counts = (str(row[k]) for k in ("n_stars", "n_pairs"))
        cells = [*counts, *pair, ratio, _short(row["rms"])]
        lines.append([_with_unit(name), *cells, *([over] if result.limit is not None else [])])
    page.text(
        "Scatter is that of one visit, from the differences of two; quoted is the median error; "
        "ratio is robust, with its own error by bootstrap over stars; the root mean square of the "
        "same differences is larger where there are outliers."
    )
    head = ["label", "stars", "pairs", "scatter", "quoted", "ratio", "rms"]
    page.table(head + (["over limit"] if result.limit is not None else []), lines)


def _about(page: Page, result: Assessment | RepeatAssessment) -> None:
    page.heading("What was assessed")
    counts = result.about.get("counts", {})
    if counts:
        page.table(["", "number"], [[str(k), str(v)] for k, v in counts.items()])
    if isinstance(result, Assessment):
        told = f"Strata of labels go by the {result.by} ones."
    else:
        told = (
            "A pair belongs to the S/N of its worse visit, and to the mean of its two predicted "
            "labels. The pairs of a star with n visits count as n − 1 together."
        )
    ends = {s.by for s in result.strata[1:]}
    page.text(
        f"{told} " + ("" if ends else "There were too few stars for strata. ")
        + " ".join(str(result.about[k]) for k in ("source", "truth", "model") if k in result.about)
    )  # fmt: skip
    page.text(f"StarNet {__version__}.")


def _rows(result: Assessment | RepeatAssessment, by: str) -> list[Any]:
    table = result.table()
    return [row for row in table if row["by"] == by]


def _plain(name: str) -> str:
    """A label's name without mathematics."""
    from starnet.plots import label_name

    return {"teff": "Teff", "logg": "log g", "snr": "S/N"}.get(name, label_name(name))


def _with_unit(name: str) -> str:
    unit = label_spec(name).unit
    return f"{_plain(name)} ({unit})" if unit else _plain(name)


def _number(name: str, value: Any, more: int = 0) -> str:
    if not np.isfinite(value):
        return "–"
    digits = (0 if label_spec(name).unit == "K" else 3) + more
    return f"{float(value):.{digits}f}".replace("-", "−")


def _short(value: Any) -> str:
    return f"{float(value):.2f}".replace("-", "−") if np.isfinite(value) else "–"


def _pm(value: Any, error: Any) -> str:
    return f"{_short(value)} ± {_short(error)}" if np.isfinite(value) else "–"
