"""One HTML file with text, tables and figures that needs nothing else to be read."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from starnet._whole import write_text

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1c2733; line-height: 1.5;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .5rem; padding-top: 1.2rem;
  border-top: 1px solid #e3e8ee; }
p { max-width: 46rem; margin: .5rem 0 .9rem; }
.lead { font-size: 1.1rem; color: #44525f; }
.facts { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.6rem 0 .5rem; }
.fact { flex: 1 1 9.5rem; border: 1px solid #e3e8ee; border-radius: 8px; padding: .7rem .9rem; }
.fact b { display: block; font-size: 1.35rem; font-weight: 600; color: #0b5394; }
.fact span { font-size: .85rem; color: #5a6875; }
figure { margin: 1rem 0; }
figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; color: #5a6875; max-width: 52rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem; text-align: right; border-bottom: 1px solid #eef1f4; }
th { font-weight: 600; border-bottom: 2px solid #cfd7df; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .9em; }
@media print { h2, figure { break-inside: avoid; } }
"""


@dataclass
class Page:
    """A page that is put together from the top down.

    Parameters
    ----------
    title : str
    """

    title: str
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A section begins."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, *, lead: bool = False) -> None:
        """A paragraph; what stands between back quotes is code."""
        bits = html.escape(text).split("`")
        shown = "".join(f"<code>{b}</code>" if i % 2 else b for i, b in enumerate(bits))
        self.parts.append(f'<p class="lead">{shown}</p>' if lead else f"<p>{shown}</p>")

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Numbers in boxes, each with what it is."""
        boxes = (
            f'<div class="fact"><b>{html.escape(value)}</b><span>{html.escape(what)}</span></div>'
            for value, what in pairs
        )
        self.parts.append(f'<div class="facts">{"".join(boxes)}</div>')

    def figure(self, figure: Figure, caption: str, *, dpi: int = 120) -> None:
        """A figure as PNG within the page; the caption is its text for those who cannot see it."""
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=dpi, facecolor="white")
        data = base64.b64encode(png.getvalue()).decode()
        said = html.escape(caption)
        self.parts.append(
            f'<figure><img alt="{html.escape(caption, quote=True)}" '
            f'src="data:image/png;base64,{data}"><figcaption>{said}</figcaption></figure>'
        )

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; its first column names the rows."""
        top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        self.parts.append(
            f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
            "</div>"
        )

    def html(self) -> str:
        """The page."""
        title = html.escape(self.title)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n"
            + "\n".join(self.parts)
            + "\n</main></body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page, whole or not at all."""
        return write_text(path, self.html(), "The report")
