"""The Voigt function w(v + i a) = H(a, v) + i L(a, v), in real arithmetic.

Within |v| < 5.5 by Weideman's rational series (1994, SIAM J. Numer. Anal. 31, 1497), then by
Laplace's continued fraction of order 6 (Gautschi 1970, SIAM J. Numer. Anal. 7, 187), beyond 15 the
Lorentz wing. ``_lines.c`` has the same three zones.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

TERMS = 20
NEAR, FAR = 5.5, 15.0
INV_SQRT_PI = 1 / math.sqrt(math.pi)


@lru_cache(maxsize=1)
def weideman(terms: int = TERMS) -> tuple[np.ndarray, float]:
    """Coefficients, the highest power first, and the scale L."""
    m = 2 * terms
    k = np.arange(-m + 1, m)
    scale = math.sqrt(terms / math.sqrt(2))
    t = scale * np.tan(k * np.pi / m / 2)
    values = np.concatenate([[0.0], np.exp(-(t**2)) * (scale**2 + t**2)])
    series = np.real(np.fft.fft(np.fft.fftshift(values))) / (2 * m)
    return series[1 : terms + 1][::-1].copy(), scale


def voigt(a: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """H and L of the damping parameter and the offset in Doppler widths, broadcast together."""
    far = v.abs() > FAR
    middle = (v.abs() > NEAR) & ~far
    near_h, near_l = _near(a, torch.where(middle | far, torch.zeros_like(v), v))
    mid_h, mid_l = _middle(a, torch.where(middle, v, torch.full_like(v, 10.0)))
    safe = torch.where(far, v, torch.full_like(v, 20.0))
    q = 1 / (safe**2 + a**2)
    g = q * (1 + 1.5 * q)
    h = torch.where(far, INV_SQRT_PI * a * g, torch.where(middle, mid_h, near_h))
    wing = INV_SQRT_PI * safe * q * (1 + 0.5 * q)
    return h, torch.where(far, wing, torch.where(middle, mid_l, near_l))


def voigt_slopes(a: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """H and its derivatives by a and by v."""
    h, el = voigt(a, v)
    q = 1 / (v**2 + a**2).clamp(min=1.0)
    steep = -q * q * (1 + 3 * q)
    far = v.abs() > FAR
    wing_a = INV_SQRT_PI * (q * (1 + 1.5 * q) + 2 * a * a * steep)
    wing_v = 2 * INV_SQRT_PI * a * v * steep
    by_a = torch.where(far, wing_a, 2 * (a * h + v * el - INV_SQRT_PI))
    return h, by_a, torch.where(far, wing_v, 2 * (a * el - v * h))


def _near(a: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    series, scale = weideman()
    dr, nr = scale + a, scale - a
    inverse = 1 / (dr * dr + v * v)
    zr, zi = (nr * dr - v * v) * inverse, (v * dr + nr * v) * inverse
    pr, pi = torch.full_like(zr, series[0]), torch.zeros_like(zr)
    for c in series[1:].tolist():
        pr, pi = pr * zr - pi * zi + c, pr * zi + pi * zr
    qr, qi = dr * inverse, v * inverse
    sr, si = qr * qr - qi * qi, 2 * qr * qi
    h = 2 * (pr * sr - pi * si) + INV_SQRT_PI * qr
    return h, 2 * (pr * si + pi * sr) + INV_SQRT_PI * qi


def _middle(a: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """1 / t (1 + 7 p + 33/4 p2) / (1 + 15/2 p + 45/4 p2 + 15/8 p3), t = a - i v, p = 1 / t2."""
    q = 1 / (a * a + v * v)
    cr, ci = a * q, v * q
    pr, pi = cr * cr - ci * ci, 2 * cr * ci
    sr, si = pr * pr - pi * pi, 2 * pr * pi
    nr, ni = 1 + 7 * pr + 8.25 * sr, 7 * pi + 8.25 * si
    er = 1 + 7.5 * pr + 11.25 * sr + 1.875 * (pr * sr - pi * si)
    ei = 7.5 * pi + 11.25 * si + 1.875 * (pr * si + pi * sr)
    inverse = INV_SQRT_PI / (er * er + ei * ei)
    mr, mi = (nr * er + ni * ei) * inverse, (ni * er - nr * ei) * inverse
    return cr * mr - ci * mi, cr * mi + ci * mr
