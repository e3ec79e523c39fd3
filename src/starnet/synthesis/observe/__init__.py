"""The instrument and the observer: from clean synthetic spectra to what a survey delivers.

    clean = broaden_spectra(clean, vsini=vsini, vmac=vmac)
    observed = Observer(Instrument.preset("apogee"), seed=1, snr=(20, 300))(clean)

`broadening` is the star's own (rotation, macroturbulence), `lsf` the line spread, `instrument` the
pixels, `effects` what sky, detector and reduction leave, `observer` all of it with noise. Numbers
of instruments and lines of the sky are data, with their sources: ``presets.yaml``, ``sky.yaml``.
"""

from starnet.synthesis.observe.broadening import broaden, broaden_spectra
from starnet.synthesis.observe.effects import (
    BadPixels,
    ContinuumError,
    Ripples,
    SkyLines,
    Telluric,
    sky_sources,
)
from starnet.synthesis.observe.instrument import PRESETS, Instrument
from starnet.synthesis.observe.lsf import gauss_hermite
from starnet.synthesis.observe.observer import Circumstances, Observer

__all__ = [
    "PRESETS",
    "BadPixels",
    "Circumstances",
    "ContinuumError",
    "Instrument",
    "Observer",
    "Ripples",
    "SkyLines",
    "Telluric",
    "broaden",
    "broaden_spectra",
    "gauss_hermite",
    "sky_sources",
]
