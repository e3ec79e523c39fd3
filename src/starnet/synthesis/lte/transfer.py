"""The flux that leaves a plane-parallel atmosphere.

F = 2 pi integral of S E2(tau) dtau. With S linear in tau between depths, the integral over angle
and depth is closed: F / (2 pi) = S_0 / 2 + sum of (S_k+1 - S_k) <E3>_k, where <E3>_k is the mean of
the exponential integral E3 over the step k, (E4(tau_k) - E4(tau_k+1)) / dtau (Hubeny and Mihalas
2014, chapter 11; Abramowitz and Stegun 1964, 5.1.26). Optical depth takes the opacity as a power
law of the depth scale between depths.

Scattering is coherent: S = (kappa B + sigma J) / (kappa + sigma), with the mean intensity J of the
continuum from the exact solution for the same linear S.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALL_STEP = 0.03
"""Below this optical depth the mean of E3 is from its ends and slopes: E4 would cancel."""


def exponential_integrals(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """E2, E3 and E4 of x >= 0 (Abramowitz and Stegun 5.1.53, 5.1.56 and 5.1.14)."""
    x = x.clamp(max=1e3)  # nothing is left there; its powers would overflow
    low = x.clamp(max=1.0)
    a = (-0.57721566, 0.99999193, -0.24991055, 0.05519968, -0.00976004, 0.00107857)
    series = torch.zeros_like(x)
    for c in reversed(a):
        series = series * low + c
    small = series - torch.log(low.clamp(min=1e-30))
    high = x.clamp(min=1.0)
    top = (((high + 8.5733287401) * high + 18.0590169730) * high + 8.6347608925) * high
    bottom = (((high + 9.5733223454) * high + 25.6329561486) * high + 21.0996530827) * high
    fall = torch.exp(-x)
    large = fall * (top + 0.2677737343) / (bottom + 3.9584969228) / high
    e1 = torch.where(x < 1, small, large)
    e2 = fall - x * e1
    e3 = 0.5 * (fall - x * e2)
    return e2, e3, (fall - x * e3) / 3


def optical_depth(opacity: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Optical depth (B, D, P) and its steps (B, D - 1, P).

    Parameters
    ----------
    opacity : tensor (B, D, P)
        d tau / d ln of the depth scale.
    log_scale : tensor (B, D)
        ln of the depth scale. Above the first depth the optical depth is the opacity itself.
    """
    low, high = opacity[:, :-1], opacity[:, 1:]
    mean = 0.5 * (low + high)
    bend = ((high - low) / (high + low)) ** 2
    # (b - a) / ln(b / a) = mean * d / artanh(d), d = (b - a) / (b + a)
    steps = mean * (1 - bend * (1 / 3 + bend * (4 / 45 + bend * (44 / 945))))
    steps = steps * (log_scale[:, 1:] - log_scale[:, :-1])[..., None]
    tau = torch.cat([opacity[:, :1], opacity[:, :1] + torch.cumsum(steps, dim=1)], dim=1)
    return tau, steps


def emergent_flux(opacity: Tensor, source: Tensor, log_scale: Tensor) -> Tensor:
    """Flux (B, P) of sources (B, D, P), in units of the source times steradian."""
    tau, steps = optical_depth(opacity, log_scale)
    e2, e3, e4 = exponential_integrals(tau)
    plain = 0.5 * (e3[:, :-1] + e3[:, 1:]) - steps * (e2[:, :-1] - e2[:, 1:]) / 12
    exact = (e4[:, :-1] - e4[:, 1:]) / steps.clamp(min=SMALL_STEP)
    mean = torch.where(steps > SMALL_STEP, exact, plain)
    rise = ((source[:, 1:] - source[:, :-1]) * mean).sum(dim=1)
    return 2 * math.pi * (0.5 * source[:, 0] + rise)


def mean_intensity(
    absorption: Tensor, scattering: Tensor, thermal: Tensor, to_opacity: Tensor, log_scale: Tensor
) -> Tensor:
    """J (B, D, W) of the continuum with coherent scattering.

    Parameters
    ----------
    absorption, scattering : tensor (B, D, W)
        Per cm.
    thermal : tensor (B, D, W)
        Planck function.
    to_opacity : tensor (B, D)
        Turns an opacity per cm into one of `optical_depth`.
    log_scale : tensor (B, D)
    """
    total = absorption + scattering
    tau, _ = optical_depth(total * to_opacity[..., None], log_scale)
    weights = _lambda_matrix(tau)  # (B, W, D, D)
    share = (scattering / total).transpose(1, 2)  # (B, W, D)
    thermal = thermal.transpose(1, 2)
    eye = torch.eye(tau.shape[1], dtype=tau.dtype, device=tau.device)
    known = (weights @ ((1 - share) * thermal)[..., None])[..., 0]
    mean = torch.linalg.solve(eye - weights * share[..., None, :], known)
    return mean.transpose(1, 2)


def _lambda_matrix(tau: Tensor) -> Tensor:
    """Weights (B, W, D, D) by which a source, linear between depths, makes J at each depth.

    J(t) = 1/2 integral of S(x) E1(|x - t|) dx; by parts with K2 = E2 and K3 = E3 of the distance.
    """
    t = tau.transpose(1, 2)  # (B, W, D)
    distance = (t[..., None, :] - t[..., :, None]).abs()  # at t_i, from x_j
    e2, e3, _ = exponential_integrals(distance)
    step = (t[..., 1:] - t[..., :-1]).clamp(min=1e-10)[..., None, :]
    below = torch.arange(t.shape[-1], device=t.device)[:, None] <= torch.arange(
        t.shape[-1] - 1, device=t.device
    )  # step j lies deeper than point i
    # over a step away from t: int E1(x - t) dx = E2(near) - E2(far), first moments by E3
    near2 = torch.where(below, e2[..., :-1], e2[..., 1:])
    far2 = torch.where(below, e2[..., 1:], e2[..., :-1])
    near3 = torch.where(below, e3[..., :-1], e3[..., 1:])
    far3 = torch.where(below, e3[..., 1:], e3[..., :-1])
    whole = near2 - far2
    exact = (near3 - far3) / step.clamp(min=1e-3) - far2  # weight of the end that is farther off
    outward = torch.where(step > 1e-3, exact, 0.5 * whole)
    inward = whole - outward
    left = torch.where(below, inward, outward)
    right = torch.where(below, outward, inward)
    matrix = torch.zeros_like(distance)
    matrix[..., :-1] += 0.5 * left
    matrix[..., 1:] += 0.5 * right
    surface, _, _ = exponential_integrals(t)
    matrix[..., 0] += 0.5 * (e2[..., 0] - surface)  # above the first depth the source goes on,
    matrix[..., -1] += 0.5 * e2[..., -1]  # as it does below the last
    return matrix
