"""The Cannon: flux in each pixel is a polynomial of the labels, learnt from stars.

M. Ness et al. 2015 (ApJ 808, 16), and The Cannon 2 of A. Casey et al. 2016 (arXiv:1603.03040):
many labels, coefficients held down by their absolute sum, and labels that act in some pixels only.
"""

from starnet.baselines.cannon.method import Cannon, FittedCannon
from starnet.baselines.cannon.pixels import Pixels, fit_pixels
from starnet.baselines.cannon.stars import Solved, solve_stars
from starnet.baselines.cannon.terms import Terms

__all__ = [
    "Cannon",
    "FittedCannon",
    "Pixels",
    "Solved",
    "Terms",
    "fit_pixels",
    "solve_stars",
]
