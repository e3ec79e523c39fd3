"""Headers of FITS files: cards are found and decoded when they are asked for."""

from __future__ import annotations

import math
from typing import Any


class Header:
    """The cards of one header, found and decoded when asked for: few of hundreds are."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __contains__(self, name: str) -> bool:
        return self._card(name) is not None

    def _card(self, name: str) -> bytes | None:
        key = name.ljust(8).encode("ascii") + b"= "
        at = self._raw.find(key)
        while at >= 0 and at % 80:
            at = self._raw.find(key, at + 1)
        return None if at < 0 else self._raw[at + 10 : at + 80]

    def get(self, name: str, default: Any = None) -> Any:
        """Value of a card: str, bool, int or float; the default if absent or blank."""
        card = self._card(name)
        value = None if card is None else _value(card)
        return default if value is None else value

    def number(self, *names: str) -> float:
        """The first of several cards that holds a finite number, or NaN."""
        for name in names:
            value = self.get(name)
            if isinstance(value, (int, float)) and math.isfinite(value):
                return float(value)
        return math.nan

    def text(self, *names: str) -> str:
        """The first of several cards that is not blank, as text, or an empty string."""
        for name in names:
            value = self.get(name)
            if value not in (None, ""):
                return str(value).strip()
        return ""

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number, or the default if the card is absent or is not one."""
        value = self.get(name)
        return value if isinstance(value, int) else default


def _value(card: bytes) -> Any:
    text = card.decode("ascii", "replace").strip()
    if text.startswith("'"):
        end = text.find("'", 1)
        while end >= 0 and text[end + 1 : end + 2] == "'":
            end = text.find("'", end + 2)
        return text[1 : end if end > 0 else None].replace("''", "'").rstrip()
    text = text.split("/", 1)[0].strip()
    if text in ("T", "F"):
        return text == "T"
    for convert in (int, float):
        try:
            return convert(text.replace("D", "E") if convert is float else text)
        except ValueError:
            continue
    return None
