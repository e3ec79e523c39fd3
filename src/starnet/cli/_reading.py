"""The flags that say how spectra are read, the same for every verb that reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from starnet.cli._app import words

if TYPE_CHECKING:
    from starnet.surveys import ReadOptions

SurveyOption = Annotated[
    str, typer.Option(help="Read every file as this survey's instead of identifying it.")
]
VisitsOption = Annotated[bool, typer.Option(help="Take single visits, not their combination.")]
MaskBitsOption = Annotated[
    str,
    typer.Option(help="Bad bits of the pixel mask by number or name, comma-separated, or none."),
]
ErrorFloorOption = Annotated[
    float, typer.Option(min=0.0, help="Smallest error as a fraction of the flux.")
]
MediumOption = Annotated[str, typer.Option(help="vacuum or air; overrules what the file is.")]
FrameOption = Annotated[str, typer.Option(help="rest or observed; overrules what the file is.")]


def read_options(
    visits: bool, mask_bits: str, error_floor: float, medium: str, frame: str
) -> ReadOptions:
    """The flags as the readers take them.

    Raises
    ------
    ConfigError
        If one of them is wrong.
    """
    from starnet.surveys import ReadOptions

    return ReadOptions(
        mask_bits=bits(mask_bits),
        error_floor=error_floor,
        visits=visits,
        medium=medium or None,  # type: ignore[arg-type]
        frame=frame or None,  # type: ignore[arg-type]
    )


def bits(text: str) -> tuple[int | str, ...] | None:
    """Bits of a pixel mask: none at all, the survey's default, or a list."""
    if text.strip().lower() == "none":
        return ()
    return tuple(int(word) if word.isdigit() else word for word in words(text)) or None
