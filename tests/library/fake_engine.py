"""A small engine for tests, registered on import: `tests.library.fake_engine:fake` in a plan.

One Gaussian line for each label at its own wavelength, as deep as the label is high within
ranges of its own. Settings make it fail in the ways that real engines do.
"""

import os
import time

import numpy as np

from starnet.errors import ConfigError, GridError
from starnet.spectra import Labels
from starnet.synthesis.contract import Synthesizer, log_even, register

NAME = "tests.library.fake_engine:fake"


class Fake(Synthesizer):
    name = "fake"

    def __init__(self, *, fail_above=1e9, nan_above=1e9, die_above=1e9, hottest=1e9, version=1,
                 seconds=0.0, resolution=40000.0, physics=None, device="cpu"):  # fmt: skip
        if version < 1:
            raise ConfigError("version must be 1 or more.")
        self.fail, self.nan, self.die, self.hottest = fail_above, nan_above, die_above, hottest
        self.resolution = resolution
        self.version, self.seconds, self.physics, self.device = version, seconds, physics, device

    def fine_grid(self, grid):
        if grid.wavelength[0] < 2000:
            raise GridError("The fake engine reaches from 2000 A; choose longer wavelengths.")
        return log_even(grid, self.resolution)

    def clamped(self, labels):
        values = np.array(labels.values)
        at = labels.index("teff")
        values[:, at] = np.minimum(values[:, at], self.hottest)
        return Labels(labels.names, values)

    def emergent(self, labels, grid, *, outside):
        time.sleep(self.seconds * len(labels))
        teff = labels.column("teff")
        if np.any(teff > self.die):
            os._exit(3)
        if np.any(teff > self.fail):
            raise RuntimeError("no convergence")
        wave = grid.wavelength
        flux = np.ones((len(labels), wave.size))
        spots = np.linspace(wave[0], wave[-1], len(labels.names) + 2)[1:-1]
        for spot, name, column in zip(spots, labels.names, labels.values.T, strict=True):
            depth = column / 10000 if name == "teff" else 0.3 + column / 20
            line = np.exp(-0.5 * ((wave - spot) / 0.3) ** 2)
            flux -= 0.8 * np.clip(depth, 0, 1)[:, None] * line
        flux[teff > self.nan, 5] = np.nan
        return flux, np.full_like(flux, 2.0)

    def describe(self):
        return {"engine": "fake", "version": self.version, "physics": self.physics}


register("fake", Fake)
