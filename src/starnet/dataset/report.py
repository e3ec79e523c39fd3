"""What came of a build: how many spectra, and what was dropped for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from astropy.table import Table

from starnet.dataset.columns import read_dropped
from starnet.dataset.layout import DROPPED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

UNREADABLE = "unreadable file"
EMPTY = "no spectrum in the file"
OTHER_GRID = "other grid"
OTHER_FRAME = "other frame"
OTHER_UNIT = "other flux unit"
MASKED = "all pixels masked"
DUPLICATE = "duplicate id"
NO_ROW = "no label row"
NO_LABELS = "labels all missing"
NO_SPECTRUM = "label row without spectrum"
REASONS: Mapping[str, str] = {
    UNREADABLE: "the reader or the preparation failed on it",
    EMPTY: "the file was read and holds none",
    OTHER_GRID: "its wavelengths are not those of the data set; resample it (prepare=)",
    OTHER_FRAME: "rest and observed frame cannot be mixed; shift it first (prepare=)",
    OTHER_UNIT: "fluxes of different units cannot be mixed; normalise it first (prepare=)",
    MASKED: "no usable pixel is left",
    DUPLICATE: "a spectrum of that id is in the data set already",
    NO_ROW: "its star is not in the label table",
    NO_LABELS: "its row has no usable value (NaN, -9999, 9999, ...)",
    NO_SPECTRUM: "none of the files is of that star",
    "no key": "the row of the label table names no star",
    "repeated label row": "the label table has an earlier row of that star",
}
"""Every reason, and what it means."""


@dataclass(frozen=True)
class BuildReport:
    """The outcome of `build`.

    Parameters
    ----------
    path : Path
        The data set.
    n_files : int
        Files that were named.
    n_spectra, n_stars : int
        What is in the data set.
    dropped : dict
        Number of spectra, files or label rows left out, by reason (`REASONS`).
    matched_by : str or None
        Which name of a spectrum the label table's key was: ``star``, ``id`` or ``file``.
    resumed : int
        Files that an interrupted build had read before.
    seconds : float
        Duration of this run.
    """

    path: Path
    n_files: int
    n_spectra: int
    n_stars: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    matched_by: str | None = None
    resumed: int = 0
    seconds: float = 0.0

    @property
    def n_dropped(self) -> int:
        """Spectra and files that were left out; label rows are not counted."""
        rows = (NO_SPECTRUM, "no key", "repeated label row")
        return sum(n for reason, n in self.dropped.items() if reason not in rows)

    def dropped_table(self) -> Table:
        """Everything that was left out: name, file, reason, detail, key of the label table."""
        return read_dropped(self.path / DROPPED)

    def table(self) -> RichTable:
        """The counts, to print with rich."""
        from rich.table import Table as RichTable

        out = RichTable()
        out.add_column("")
        out.add_column("number", justify="right")
        out.add_column("meaning")
        resumed = f"{self.resumed} of them before the interruption" if self.resumed else ""
        out.add_row("files named", str(self.n_files), resumed)
        match = f"label rows found by {self.matched_by}" if self.matched_by else "without labels"
        out.add_row("spectra kept", str(self.n_spectra), match)
        for reason, n in self.dropped.items():
            out.add_row(f"dropped: {reason}", str(n), REASONS.get(reason, ""))
        return out

    def show(self, console: Console | None = None) -> None:
        """Print the counts."""
        from rich.console import Console

        console = console or Console()
        told = f"{self.path}: {self.n_spectra} spectra of {self.n_stars} stars"
        console.print(f"{told}, in {self.seconds:.1f} s", soft_wrap=True, highlight=False)
        console.print(self.table())
        if self.dropped:
            console.print(f"Every name is in {self.path / DROPPED}", soft_wrap=True)


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Number of times each reason was given, in the order of `REASONS`."""
    counts = Counter(reasons)
    return {reason: counts[reason] for reason in {**REASONS, **counts} if counts[reason]}
