"""From labels to spectra.

`build_synthesizer` gives an engine: our own (``lte``), one of others (``pysme``, ``turbospectrum``,
``synspec``, ``korg``), or a grid of spectra (``grid``). All answer `Synthesizer.synthesize`. They
are made of line lists (`starnet.synthesis.lines`), model atmospheres
(`starnet.synthesis.atmospheres`) and public inputs (`starnet.synthesis.inputs`); what they make is
observed with `starnet.synthesis.observe`.
"""

from typing import Any

from starnet.synthesis import engines as _engines  # noqa: F401 - it makes the engines known
from starnet.synthesis.contract import (
    Synthesizer,
    SyntheticSpectra,
    build_synthesizer,
    engine_names,
    register,
)


def _lte(**settings: Any) -> Synthesizer:
    from starnet.synthesis.lte.synthesizer import build

    return build(**settings)


def _emulator(**settings: Any) -> Synthesizer:
    from starnet.synthesis.emulator.emulator import build

    return build(**settings)


register("lte", _lte)
register("emulator", _emulator)

__all__ = ["Synthesizer", "SyntheticSpectra", "build_synthesizer", "engine_names", "register"]
