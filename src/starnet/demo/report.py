"""The demo's report: what was done, how good it is, and figures, in one HTML file."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from starnet._version import __version__
from starnet.demo import figures
from starnet.demo.run import DemoResult
from starnet.evaluate import residual_table, robust_scatter
from starnet.inference import LabelFlag
from starnet.plots import label_name
from starnet.plots.page import Page
from starnet.spectra import label_spec

PACKAGES = ("numpy", "scipy", "astropy", "torch", "matplotlib")
DIGITS = {"teff": 0}
PLAIN = {"teff": "Teff", "logg": "log g", "vmic": "vmic"}


def write_report(result: DemoResult, path: str | Path) -> Path:
    """Write the report, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    page = Page("StarNet: from spectra to labels, and back")
    _opening(page, result)
    _spectra(page, result)
    _labels(page, result)
    _science(page, result)
    _numbers(page, result)
    return page.write(path)


def _opening(page: Page, result: DemoResult) -> None:
    n = len(result)
    page.text(
        f"{n} made-up stars, drawn as APOGEE's stars are distributed. An emulator of our own "
        "synthesis gave their spectra, and an observer added what a survey adds: noise, bad "
        "pixels, residuals of sky and atmosphere, errors of continuum and velocity, a line spread "
        "that varies. Then they went the way of any spectra: files on disk, read, preprocessed, "
        "labelled by the network, flagged, written to a catalogue. The true labels were only used "
        "for the comparison.",
        lead=True,
    )
    boxes = [(str(n), "stars"), (f"{sum(result.seconds.values()):.0f} s", "for everything so far")]
    for name in (m for m in figures.MAIN if m in result.predicted.names):
        gap = (result.predicted.column(name) - result.truth.column(name))[result.good]
        unit = label_spec(name).unit
        boxes.append((f"{_number(name, robust_scatter(gap))} {unit}", f"scatter of {plain(name)}"))
    boxes.append((f"{np.count_nonzero(~result.good)}", "stars with a flag"))
    page.facts(boxes)


def _spectra(page: Page, result: DemoResult) -> None:
    page.heading("Spectra and what the labels say of them")
    page.text(
        "The network gives labels of a spectrum, and the emulator gives the spectrum of these "
        "labels. Where both are right, what is left is noise: a look at any star, without knowing "
        "the truth. Gaps are masked pixels."
    )
    page.figure(
        figures.examples(result),
        "Observed spectra (grey), the emulator's spectra of the predicted labels (orange), and "
        "below each the residual with the quoted error (blue band).",
    )
    page.heading("A temperature sequence")
    page.text(
        "Spectra that the emulator generates, for solar composition, from the top of the giant "
        "branch to the turn-off. Lines are named by the emulator itself: a name stands where the "
        "flux falls most with the abundance of one element and little with that of the others."
    )
    page.figure(
        figures.sequence(result.emulator),
        "Generated spectra at APOGEE's resolution, moved up one by one; Teff and log g at the "
        "right. CO, CN and OH are molecules, H n-4 Brackett lines of hydrogen.",
    )


def _labels(page: Page, result: DemoResult) -> None:
    page.heading("Predicted and true labels")
    page.figure(
        figures.main_labels(result),
        "Predicted against true labels, and residuals below; the colour is the signal to noise "
        "per pixel. Stars far out are drawn at the edge of the panel.",
    )
    page.heading("How near to the limit")
    page.text(
        "The Cramér-Rao limit is the smallest error that any unbiased estimate can have from a "
        "spectrum with this noise and these masks, with all labels unknown; it follows from the "
        "emulator's derivatives. 1 is perfect. A network that has learnt how stars are "
        "distributed can be below 1 where a spectrum says little."
    )
    page.figure(
        figures.limits(result),
        "Robust scatter of (predicted − true) over the limit of each star, without flagged stars. "
        "The dashed line is at 1.5; marks beyond the axis stand at its end.",
    )


def _science(page: Page, result: DemoResult) -> None:
    kiel, planes = figures.kiel(result), figures.planes(result)
    if kiel is not None:
        page.heading("Kiel diagram")
        page.figure(kiel, "True and predicted labels; the colour is [Fe/H].")
    if planes is not None:
        page.heading("Abundances")
        page.text(
            "Two sequences of stars, with high and with low [α/Fe], are drawn as they are found "
            "among giants; whether they are seen again depends on the element."
        )
        page.figure(
            planes,
            "Abundance ratios against [Fe/H], true (grey) and predicted (blue); the bar in the "
            "corner is the median Cramér-Rao limit.",
        )
    other = figures.other_labels(result)
    if other is not None:
        page.figure(other, "All other labels against the truth, with residuals.", dpi=110)


def _numbers(page: Page, result: DemoResult) -> None:
    page.heading("Numbers")
    page.text(
        "Predicted minus true, of stars without a flag. The scatter is 1.4826 times the median "
        "absolute deviation; the limit is the median over stars."
    )
    some = residual_table(result.predicted[result.good], result.truth[result.good])
    names, rows, bins = figures.ratios(result)
    ratio = {name: rows[:, i] for i, name in enumerate(names)}
    lines = []
    for row in some:
        name = str(row["label"])
        limit = np.median(result.limit[result.good, result.emulator.labels.index(name)])
        cells = [_number(name, float(v)) for v in (row["median"], row["scatter"], limit)]  # type: ignore[arg-type]
        lines.append([f"{plain(name)} ({row['unit']})", *cells, *map(_ratio, ratio[name])])
    head = ["label", "bias", "scatter", "limit", *(f"over limit, {b}" for b in bins)]
    page.table(head, lines)
    page.heading("Flags")
    flag = np.asarray(result.table["flag"])
    counts = [[str(bit.name), str(int(np.count_nonzero(flag & bit)))] for bit in LabelFlag]
    page.table(["flag", "stars"], [row for row in counts if row[1] != "0"] or [["none", "0"]])
    page.heading("Run time and versions")
    page.table(["step", "seconds"], [[k, f"{v:.1f}"] for k, v in result.seconds.items()])
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    about = result.about
    page.text(
        f"StarNet {__version__}; model `{about.get('model', '')}` "
        f"({str(about.get('model_version', ''))[:12]}); emulator `{about.get('emulator', '')}`; "
        f"seed {about.get('seed')}; {about.get('cores')} cores; Python "
        f"{platform.python_version()}, {versions}."
    )


def plain(name: str) -> str:
    """A label's name without mathematics."""
    return PLAIN.get(name, label_name(name))


def _number(name: str, value: float) -> str:
    if not np.isfinite(value):
        return "∞" if np.isinf(value) else "–"
    return f"{value:.{DIGITS.get(name, 3)}f}".replace("-", "−")


def _ratio(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def figure_list(result: DemoResult) -> dict[str, Figure]:
    """Every figure of the report by name, for those who want to save them."""
    made = {
        "examples": figures.examples(result),
        "sequence": figures.sequence(result.emulator),
        "labels": figures.main_labels(result),
        "limits": figures.limits(result),
        "kiel": figures.kiel(result),
        "abundances": figures.planes(result),
        "others": figures.other_labels(result),
    }
    return {name: figure for name, figure in made.items() if figure is not None}
