"""Runs the code of a page that the build only shows, because it needs the physics inputs.

    python docs/_pages.py training-set            # runs it and says what differs
    python docs/_pages.py training-set --write    # and keeps what it prints and draws

On such a page a block of ``python`` is executed, and so is each line ``$ starnet ...`` of a block
of ``console``. The block of ``text`` that follows holds what they print. A ``{code-block}`` with a
caption is a file of that name. A picture is a file of that name that the code writes. Numbers may
differ by a few per cent, speeds and digests freely; nothing else may.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"
BLOCK = re.compile(r"^```(?P<kind>\S+)(?: \w+)?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
CAPTION = re.compile(r":caption: (\S+)\n+")
PICTURE = re.compile(r"\]\(figures/([\w-]+\.png)\)")
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")
FREE = re.compile(r"\S+ (?=spectra/s)|(?<=digest )\w+")
TOLERANCE = 0.03
LARGEST = 150_000
"""Bytes of a figure."""


@dataclass(frozen=True)
class Printed:
    """What blocks printed, and the place of the text on the page that holds it."""

    made: str
    stored: str
    place: tuple[int, int]

    def same(self) -> bool:
        """Whether words agree, and numbers nearly."""
        return _words(self.made) == _words(self.stored) and all(
            abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) + 0.011
            for a, b in zip(_numbers(self.made), _numbers(self.stored), strict=True)
        )


def pictures(text: str) -> list[str]:
    """Names of the figures of a page."""
    return PICTURE.findall(text)


def run(text: str) -> list[Printed]:
    """Execute the blocks of a page in the working folder; what was printed and what is stored."""
    import matplotlib

    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    printed, found = [], ""
    for block in BLOCK.finditer(text):
        kind, body = block["kind"], block["body"]
        if kind == "{code-block}":
            name = CAPTION.match(body)
            assert name, "a file on the page needs a caption"
            Path(name[1]).write_text(body[name.end() :])
        elif kind == "text":
            printed.append(Printed(found, body, block.span("body")))
            found = ""
        else:
            found += "".join(_outputs(kind, body, names))
    assert not found.strip(), f"the page lacks what is printed: {found}"
    return printed


def _outputs(kind: str, body: str, names: dict[str, Any]) -> Iterator[str]:
    calls = [body]
    if kind == "console":
        calls = [line[2:] for line in body.splitlines() if line.startswith("$ starnet ")]
    for call in calls:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            if kind == "console":
                _command(shlex.split(call)[1:])
            else:
                exec(compile(call, "page", "exec"), names)
        text = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
        yield text + "\n" if text else ""


def _command(words: list[str]) -> None:
    from starnet.cli import app

    with contextlib.redirect_stderr(io.StringIO()):
        app(words, standalone_mode=False)


def _words(text: str) -> str:
    return re.sub(r"[\s─━]+", " ", NUMBER.sub("#", FREE.sub("", text))).strip()


def _numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(FREE.sub("", text))]


def write(page: Path, printed: list[Printed], folder: Path) -> None:
    """Put what was printed into the page, and the figures beside it."""
    text = page.read_text()
    for one in reversed(printed):
        text = text[: one.place[0]] + one.made + text[one.place[1] :]
    page.write_text(text)
    for name in pictures(text):
        small(folder / name)
        shutil.copy(folder / name, FIGURES / name)


def small(path: Path) -> None:
    """Fewer colours, if they make the file smaller."""
    from PIL import Image

    with Image.open(path) as image:
        fewer = image.convert("RGB").quantize(128)
    other = path.with_suffix(".fewer.png")
    fewer.save(other, optimize=True)
    if other.stat().st_size < path.stat().st_size:
        other.replace(path)
    assert path.stat().st_size < LARGEST, f"{path.name} has {path.stat().st_size} bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a page of the documentation.")
    parser.add_argument("page")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("COLUMNS", "100")
    page = HERE / f"{args.page}.md"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        printed = run(page.read_text())
        for one in printed:
            if not one.same():
                print(f"--- stored\n{one.stored}--- made\n{one.made}")
        if args.write:
            write(page, printed, Path(folder))


if __name__ == "__main__":
    main()
