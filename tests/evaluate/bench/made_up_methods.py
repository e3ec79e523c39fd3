"""Methods for the tests of the bench: one that works, and ways to fail. Imported by suites."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from starnet.baselines.contract import Fitted, Method, register
from starnet.errors import OutputError, TrainingError
from starnet.spectra import Labels


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Fitted):
    """Labels as a linear function of the flux."""

    weights: np.ndarray

    def predict(self, spectra):
        self.check(spectra)
        ones = np.ones((len(spectra), 1))
        values = np.hstack([ones, spectra.flux]) @ self.weights
        return Labels(self.names, values, np.full(values.shape, self.method.error))

    def state(self):
        return {}, {"weights": self.weights}

    @classmethod
    def from_state(cls, method, names, grid, settings, arrays):
        return cls(method=method, names=names, grid=grid, weights=arrays["weights"])


@register(Linear)
@dataclass(frozen=True, kw_only=True)
class MadeUp(Method):
    """Ridge regression, which fails, dies, waits or remembers what it saw when told to."""

    kind: ClassVar[str] = "made-up"
    error: float = 1.0
    fails: bool = False
    dies: bool = False
    waits: float = 0.0
    saw: str = ""
    disk: bool = False

    def fit(self, spectra, labels, *, seed=0, report=None):
        if self.saw:
            with Path(self.saw).open("a") as file:
                file.write(" ".join(sorted(set(spectra.stars.tolist()))) + "\n")
        if self.disk:
            raise OutputError("The result cannot be written: no space.")
        time.sleep(self.waits)
        if self.fails:
            raise TrainingError(f"The method {self.kind} fails on purpose.")
        if self.dies:
            os.kill(os.getpid(), 9)
        x = np.hstack([np.ones((len(spectra), 1)), spectra.flux]).astype(float)
        normal = x.T @ x + 1e-3 * np.eye(x.shape[1])
        weights = np.linalg.solve(normal, x.T @ labels.values)
        return Linear(method=self, names=labels.names, grid=spectra.grid, weights=weights)
