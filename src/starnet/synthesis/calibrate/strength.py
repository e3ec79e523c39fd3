"""How strong lines are in a star: which of them a calibration can see."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from starnet.synthesis.constants import BOLTZMANN, BOLTZMANN_EV, DALTON, LIGHT, LINE_CONSTANT
from starnet.synthesis.lte.engine import LteEngine
from starnet.synthesis.lte.eos import Gas

WHERE = 0.87
"""Temperature over effective temperature at optical depth 0.1 of a grey atmosphere."""


def strengths(engine: LteEngine, gas: Gas, teff: float, vmic: float) -> Tensor:
    """ln of the opacity at the centre of each line over the continuum's, (N,).

    At the depth where the temperature is `WHERE` times the effective one, where lines form that
    are neither weak nor saturated. Damping is left out, so it is an upper limit.

    Parameters
    ----------
    engine : LteEngine
    gas : Gas
        Of one star.
    teff : float
        K.
    vmic : float
        km/s.
    """
    depth = int(torch.argmin((gas.temperature[0] - WHERE * teff).abs()))
    t, lines = gas.temperature[0, depth], engine.lines
    absorbed, scattered = engine.continuum(gas)
    smooth = (absorbed + scattered)[0, depth]  # (C,)
    cell = (lines.centre / lines.n_pixels * smooth.numel()).long().clamp(0, smooth.numel() - 1)
    doppler = torch.sqrt(2 * BOLTZMANN * t / (lines.mass * DALTON) + (vmic * 1e5) ** 2)
    log_line = (
        lines.populations(gas)[0, depth][lines.index]
        + lines.log_gf
        - torch.log(lines.nu * doppler)
        - lines.excitation / (BOLTZMANN_EV * t)
        + math.log(LINE_CONSTANT * LIGHT / math.sqrt(math.pi))
    )
    return log_line - torch.log(smooth[cell])
