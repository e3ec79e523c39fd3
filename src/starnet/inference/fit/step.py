"""The step of Levenberg and Marquardt that stays within bounds and facets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STIFF = 1e9
PASSES = 6
TOUCH = 1e-6
CUT = 0.01
"""Part of a step below which it counts as cut by a facet."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Where parameters may lie: a box, and facets ``normals @ x <= room``.

    Attributes
    ----------
    low, high : Tensor (D,)
    normals : Tensor (F, D)
    """

    low: Tensor
    high: Tensor
    normals: Tensor

    def slack(self, x: Tensor, room: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How far x (B, D) may go down, up (B, D) and towards the facets (B, F) of room (B, F)."""
        return x - self.low, self.high - x, room - x @ self.normals.T

    def inside(self, x: Tensor, room: Tensor, middle: Tensor) -> Tensor:
        """Points x (B, D), those outside moved into the box and then towards a middle (D,)."""
        x = torch.minimum(torch.maximum(x, self.low), self.high)
        if not len(self.normals):
            return x
        beyond = x @ self.normals.T - room
        here = beyond.amax(1)
        at_middle = (middle @ self.normals.T - room).amax(1)
        share = (here / (here - at_middle).clamp_min(1e-12)).clamp(0, 1)
        share = torch.where(at_middle < 0, share, torch.zeros_like(share))
        return torch.where((here > 0)[:, None], x + share[:, None] * (middle - x), x)


def solve_step(
    hessian: Tensor, gradient: Tensor, damping: Tensor, x: Tensor, room: Tensor, bounds: Bounds
) -> tuple[Tensor, Tensor]:
    """Step (B, D) that lowers the quadratic model most and leaves no bound, and what is cut (B,).

    Bounds that the free step would cross are held, and it is solved again for the rest.

    Parameters
    ----------
    hessian : Tensor (B, D, D)
    gradient : Tensor (B, D)
        Downhill: minus half the derivative of chi-square.
    damping : Tensor (B,)
        Relative addition to the diagonal (Marquardt 1963).
    x, room : Tensor (B, D), (B, F)

    Returns
    -------
    step, cut
        Whether a facet cut the step to next to nothing: no sign of a minimum.
    """
    root = hessian.diagonal(dim1=1, dim2=2).clamp_min(1e-12).sqrt()  # (B, D): units of about 1
    matrix = hessian / (root[:, :, None] * root[:, None, :])
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    matrix = matrix + (damping + 1e-9)[:, None, None] * eye
    right = gradient / root
    step = _solve(matrix, right) / root
    down, up, gap = bounds.slack(x, room)
    rows = torch.arange(len(x))
    held_to = torch.zeros_like(x)
    held = torch.zeros_like(x, dtype=torch.bool)
    at = torch.zeros_like(gap, dtype=torch.bool)
    for _ in range(PASSES):
        low, high = step[rows] < -down[rows] - TOUCH, step[rows] > up[rows] + TOUCH
        over = step[rows] @ bounds.normals.T - gap[rows]
        worst = torch.zeros_like(over, dtype=torch.bool)
        if over.shape[1]:
            top = over.argmax(1, keepdim=True)
            worst = worst.scatter(1, top, over.gather(1, top) > TOUCH)
        broken = (low | high).any(1) | worst.any(1)
        if not broken.any():
            break
        low, high, worst, rows = low[broken], high[broken], worst[broken], rows[broken]
        held_to[rows] = torch.where(low, -down[rows], torch.where(high, up[rows], held_to[rows]))
        held[rows] |= low | high
        at[rows] |= worst
        step[rows] = (
            _held(
                matrix[rows], right[rows], root[rows], held[rows], held_to[rows],
                at[rows] & ~worst | worst, gap[rows], bounds.normals,
            )
        )  # fmt: skip
    step = torch.minimum(torch.maximum(step, -down), up)
    share = _share(step, gap, bounds.normals)
    return step * share[:, None], share < CUT


def _held(
    matrix: Tensor,
    right: Tensor,
    root: Tensor,
    held: Tensor,
    held_to: Tensor,
    at: Tensor,
    gap: Tensor,
    normals: Tensor,
) -> Tensor:
    """The step with some parameters and facets held by springs so stiff that they do not give."""
    spring = STIFF * held
    matrix = matrix + torch.diag_embed(spring.to(matrix.dtype))
    right = right + spring * held_to * root
    if at.any():
        lines = normals[None] / root[:, None, :]  # (B, F, D), in the units of the matrix
        size = lines.norm(dim=2, keepdim=True).clamp_min(1e-12)
        lines, reach = lines / size, gap / size[:, :, 0]
        pull = STIFF * at
        matrix = matrix + torch.einsum("bf,bfi,bfj->bij", pull.to(matrix.dtype), lines, lines)
        right = right + ((pull * reach)[:, None, :] @ lines)[:, 0]
    return _solve(matrix, right) / root


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    factor, info = torch.linalg.cholesky_ex(matrix)
    bad = info > 0
    if bad.any():
        eye = torch.eye(matrix.shape[1], dtype=matrix.dtype)
        factor[bad] = torch.linalg.cholesky_ex(matrix[bad] + 0.1 * eye)[0]
    return torch.cholesky_solve(right[:, :, None], factor)[:, :, 0].nan_to_num(0.0, 0.0, 0.0)


def _share(step: Tensor, gap: Tensor, normals: Tensor) -> Tensor:
    """Part (B,) of each step that lies before the first facet it meets."""
    if not len(normals):
        return torch.ones_like(step[:, 0])
    along = step @ normals.T
    share = torch.where(along > gap.clamp_min(0) + TOUCH, gap.clamp_min(0) / along, 1.0)
    return share.amin(1)
