"""What became of every file of a download."""

from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from starnet.errors import DownloadError


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    `status` is ``downloaded``, ``skipped`` (it was there already) or ``failed``; `reason` a
    sentence for a failure; `size` in bytes; `verified` is ``sha256``, ``sha1``, ``size`` or empty.
    """

    name: str
    status: str
    path: Path
    url: str = ""
    reason: str = ""
    size: int = 0
    verified: str = ""


@dataclass(frozen=True)
class DownloadReport:
    """Outcomes of a download, in the order of the items."""

    outcomes: tuple[Outcome, ...]

    def _with(self, status: str) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status == status)

    @property
    def downloaded(self) -> tuple[Outcome, ...]:
        """Files that arrived now."""
        return self._with("downloaded")

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Files that were there already."""
        return self._with("skipped")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Items without a file, each with its reason."""
        return self._with("failed")

    @property
    def paths(self) -> list[Path]:
        """Files that are on disk now."""
        return [outcome.path for outcome in self.outcomes if outcome.status != "failed"]

    def to_table(self) -> Table:
        """Table with one row per item, to keep beside the files."""
        columns = ("name", "status", "reason", "url", "path", "size", "verified")
        return Table({c: [_plain(getattr(o, c)) for o in self.outcomes] for c in columns})

    def raise_for_failed(self) -> None:
        """Raise DownloadError when anything failed; the message has the first reasons."""
        if self.failed:
            raise DownloadError(str(self))

    def __str__(self) -> str:
        size = sum(outcome.size for outcome in self.downloaded) / 1e6
        lines = [
            f"{len(self.downloaded)} downloaded ({size:.1f} MB), {len(self.skipped)} there "
            f"already, {len(self.failed)} failed."
        ]
        lines += [f"  {outcome.name}: {outcome.reason}" for outcome in self.failed[:10]]
        if len(self.failed) > 10:
            lines.append(f"  and {len(self.failed) - 10} more (see the report's table).")
        return "\n".join(lines)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
