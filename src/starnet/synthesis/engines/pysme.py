"""PySME, in this process (Wehrhahn, Piskunov and Ryabchikova 2023, A&A 671, A171).

What PySME 1.2 does that is not obvious, found by trying:

- Importing it makes the folder ``.sme`` in the home directory (30 MB), prints, and adds a handler
  to its logger; so it is imported when an engine is first used, and kept silent.
- Its metadata ask for astropy below 8; it works with astropy 8 (``pip install --no-deps``).
- A van der Waals number between 0 and 20 is no factor of Unsold's theory: 10**number is taken as
  the width. So the factors of a line list are multiplied onto PySME's own Unsold widths here.
- Lines of hydrogen are those of the line list, and their levels are read from the columns of the
  Stark (lower) and van der Waals (upper) widths; without them PySME leaves the line out.
- Of two ways to make Brackett lines, its default ("legacy") is too strong: in the Sun, over 40 A
  around a line, 0.010 to 0.025 of the continuum below Turbospectrum's. "convolution" is within
  0.010 of it, mostly 0.005, but cuts the wings off and takes ten times as long.
- With column mass as the depth scale the density matters, and a wrong one goes unnoticed. Where an
  atmosphere has none, that of PySME's own equation of state is used.
- An element that it does not know ends the process.
- It writes ``syntherr.log`` in the working folder where it leaves lines out; it is removed.
- Air or vacuum is not its concern: grid and lines must agree. Here both are vacuum.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from starnet.errors import ConfigError, EngineError, MissingDependencyError
from starnet.synthesis.atmospheres.atmosphere import Atmosphere
from starnet.synthesis.constants import BOLTZMANN
from starnet.synthesis.contract import Array
from starnet.synthesis.engines._pysme_lines import columns, with_unsold
from starnet.synthesis.engines.star import LineEngine, Star

DEPTHS = ("auto", "tau_5000", "rhox")
STARK = ("legacy", "convolution")
ANGLES = 7
"""Points over the stellar disk, PySME's own default."""


class PySME(LineEngine):
    """LTE spectra by PySME, plane-parallel.

    Parameters
    ----------
    depth : "auto", "tau_5000" or "rhox"
        The depth scale along which PySME integrates. "auto": optical depth at 5000 Angstrom where
        the atmosphere has it, else column mass.
    stark : "legacy" or "convolution"
        How PySME makes Brackett lines.
    **settings
        As of `LineEngine`: atmospheres, lines, solar, hydrogen, vmic, resolution.
    """

    name = "pysme"

    def __init__(
        self,
        atmospheres: Any,
        lines: Any,
        *,
        depth: str = "auto",
        stark: str = "legacy",
        **settings: Any,
    ) -> None:
        super().__init__(atmospheres, lines, **settings)
        if stark not in STARK:
            raise ConfigError(f"stark must be one of {', '.join(STARK)}; received {stark!r}.")
        self.stark = stark
        if depth not in DEPTHS:
            raise ConfigError(f"depth must be one of {', '.join(DEPTHS)}; received {depth!r}.")
        self.depth = depth
        self._table: tuple[tuple[float, float], Any] | None = None

    def describe(self) -> dict[str, Any]:
        version = _modules().version
        own = {"version": version, "depth": self.depth, "stark": self.stark}
        return super().describe() | own

    def _spectra(self, stars: Sequence[Star], wave: Array) -> Iterator[tuple[Array, Array]]:
        for star in stars:
            with _quiet():
                made = self._one(star, wave)
            yield made

    def _one(self, star: Star, wave: Array) -> tuple[Array, Array]:
        sme = self._structure(star, wave, self._lines(star, wave))
        try:
            _modules().Synthesizer().synthesize_spectrum(sme)
        except Exception as error:  # the C library raises whatever it likes
            raise EngineError(
                f"PySME failed for teff {star.atmosphere.teff:g}, logg {star.atmosphere.logg:g}: "
                f"{error}"
            ) from error
        return np.array(sme.synth[0], dtype=float), np.array(sme.cont[0], dtype=float)

    def _lines(self, star: Star, wave: Array) -> Any:
        """The lines as PySME's table; made once for a wavelength range."""
        span = (float(wave[0]), float(wave[-1]))
        if self._table is None or self._table[0] != span:
            table = columns(self.near(wave), span, self.hydrogen)
            self._table = span, with_unsold(table, lambda part: self._unsold(star, wave, part))
        return _line_list(self._table[1])

    def _unsold(self, star: Star, wave: Array, part: dict[str, Array]) -> Array:
        """PySME's own Unsold widths (log10) of some lines: it reports them after a synthesis."""
        few = np.linspace(wave[0], wave[-1], 9)
        synthesizer = _modules().Synthesizer()
        synthesizer.synthesize_spectrum(self._structure(star, few, _line_list(part)))
        return np.asarray(synthesizer.get_dll().OutputLineList())[:, 5]

    def _structure(self, star: Star, wave: Array, lines: Any) -> Any:
        modules, model = _modules(), star.atmosphere
        sme = modules.SME_Structure()
        sme.teff, sme.logg = model.teff, model.logg
        sme.vmic, sme.vmac, sme.vsini = star.vmic, 0.0, 0.0
        pattern = np.full(99, -8.0)
        pattern[: star.abundances.size] = star.abundances
        sme.abund = modules.Abund(monh=0.0, pattern=pattern, type="H=12")
        sme.linelist = lines
        sme.nmu = ANGLES
        sme.h_stark_convolution = self.stark
        sme.vrad_flag = sme.cscale_flag = "none"
        sme.wave = wave
        sme.atmo = self._atmosphere_of(star, pattern)
        return sme

    def _atmosphere_of(self, star: Star, pattern: Array) -> Any:
        model = star.atmosphere
        has_tau = model.tau_5000 is not None
        if self.depth == "tau_5000" and not has_tau:
            raise ConfigError(
                "depth='tau_5000' needs atmospheres with the optical depth at 5000 A, which this "
                "one does not have; use depth='auto' or 'rhox'."
            )
        scale = "TAU" if has_tau and self.depth != "rhox" else "RHOX"
        kt = BOLTZMANN * model.temperature
        atoms = np.maximum(model.gas_pressure / kt - model.electron_density, 1.0)
        made = _modules().Atmosphere(
            teff=model.teff,
            logg=model.logg,
            abund=pattern,
            abund_format="H=12",
            vturb=star.vmic,
            method="embedded",
            geom="PP",
            depth=scale,
            interp=scale,
            rhox=model.rhox,
            tau=model.tau_5000 if has_tau else np.full(model.n_depths, np.nan),
            temp=model.temperature,
            rho=atoms * 2.1e-24 if model.density is None else model.density,
            xna=atoms,
            xne=model.electron_density,
            wlstd=5000.0,
            source=model.source or "starnet",
        )
        if model.density is None and scale == "RHOX":
            made.rho = _density(star, model, made, pattern)
        return made


def _density(star: Star, model: Atmosphere, made: Any, pattern: Array) -> Array:
    """Density from PySME's equation of state, g/cm3; within 1 % of MARCS's own."""
    modules = _modules()
    dll = modules.Synthesizer().get_dll()
    dll.SetLibraryPath()
    dll.InputLineList(_line_list(_IRON))
    dll.InputModel(model.teff, model.logg, star.vmic, made)
    dll.InputAbund(modules.Abund(monh=0.0, pattern=pattern, type="H=12"))
    dll.Ionization(0)
    return np.array(dll.GetDensity(), dtype=float)


_IRON: dict[str, Any] = {
    "species": np.array(["Fe 1"]),
    "wlcent": np.array([5000.0]),
    "excit": np.array([1.0]),
    "gflog": np.array([-9.0]),
    **{name: np.zeros(1) for name in ("gamrad", "gamqst", "gamvw")},
    **{name: np.ones(1) for name in ("atom_number", "ionization")},
}


def _line_list(table: dict[str, Any]) -> Any:
    import pandas  # pyright: ignore[reportMissingImports]

    return _modules().LineList(pandas.DataFrame(table), lineformat="short", medium="vac")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    log = Path("syntherr.log").absolute()
    before = log.exists()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        if not before:
            with contextlib.suppress(OSError):
                log.unlink()


_LOADED: list[SimpleNamespace] = []


def _modules() -> SimpleNamespace:
    """What is needed of PySME, imported on the first call.

    Raises
    ------
    MissingDependencyError
        If it is not installed or does not load.
    """
    if not _LOADED:
        try:
            with _quiet():
                _LOADED.append(_load())
        except Exception as error:  # a missing library ends in errors of many kinds
            raise MissingDependencyError(
                f"The engine pysme needs PySME, which cannot be imported ({error}). Install it "
                "with pip install pysme-astro (or starnet[pysme]); beside astropy 8, which its "
                "metadata exclude although it works, with pip install --no-deps pysme-astro and "
                "then what it lacks."
            ) from error
    return _LOADED[0]


def _load() -> SimpleNamespace:
    import pysme  # pyright: ignore[reportMissingImports]
    from pysme.abund import Abund  # pyright: ignore[reportMissingImports]
    from pysme.atmosphere.atmosphere import Atmosphere as PySMEAtmosphere  # pyright: ignore[reportMissingImports]
    from pysme.linelist.linelist import LineList  # pyright: ignore[reportMissingImports]
    from pysme.sme import SME_Structure  # pyright: ignore[reportMissingImports]
    from pysme.synthesize import Synthesizer  # pyright: ignore[reportMissingImports]

    logging.getLogger("pysme").setLevel(logging.ERROR)
    return SimpleNamespace(
        version=pysme.__version__,
        Abund=Abund,
        Atmosphere=PySMEAtmosphere,
        LineList=LineList,
        SME_Structure=SME_Structure,
        Synthesizer=Synthesizer,
    )
