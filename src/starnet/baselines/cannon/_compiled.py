"""The Cannon's inner loops in C, compiled at first use for the number of terms (and labels).

``_pixels.c`` has the rounds of `fit_pixels`, ``_stars.c`` the sums and steps of `solve_stars`.
``STARNET_FUSED=0`` in the environment turns both off; where there is no compiler numpy does the
same.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet._compile import CannotCompileError, compiled
from starnet.baselines._gram import RIDGE
from starnet.baselines._threads import in_threads
from starnet.baselines.cannon.terms import Terms

log = logging.getLogger("starnet.baselines")
Array = NDArray[Any]
HERE = Path(__file__).parent
OPTIMISE = ("-O3", "-fno-math-errno")
MOST_TERMS = 64
"""Beyond, matrices do not fit in the cache, and products of large matrices are faster."""
PIXELS, STARS = 256, 64
"""That a thread takes at a time."""
REALS = {"float32": (), "float64": ("-DDOUBLE",)}
"""Precisions of spectra, and what tells the compiler."""
POINTER, NUMBER = ctypes.c_void_p, ctypes.c_int
LONG, REAL = ctypes.c_int64, ctypes.c_double


def pixels_serve(flux: Array, ivar: Array, n_terms: int) -> bool:
    """Whether pixels of these spectra can be fitted in C."""
    return _able(flux, ivar, n_terms) and pixel_library(n_terms, flux.dtype.name) is not None


def stars_serve(flux: Array, ivar: Array, n_terms: int, n_labels: int) -> bool:
    """Whether these stars can be fitted in C."""
    if not _able(flux, ivar, n_terms):
        return False
    return star_library(n_terms, n_labels, flux.dtype.name, False) is not None


def _able(flux: Array, ivar: Array, n_terms: int) -> bool:
    alike = flux.dtype == ivar.dtype and flux.dtype.name in REALS
    return alike and n_terms <= MOST_TERMS and os.environ.get("STARNET_FUSED") != "0"


@functools.cache
def pixel_library(n_terms: int, dtype: str) -> Any:
    """The rounds for a number of terms; None without a compiler."""
    found = _library("_pixels.c", f"-DT={n_terms}", *REALS[dtype])
    if found is not None:
        found.starnet_cannon_pixels.argtypes = [
            *(POINTER, POINTER, LONG, NUMBER, LONG, LONG, POINTER, POINTER),
            *(POINTER, REAL, REAL, NUMBER, POINTER, POINTER),
        ]
    return found


@functools.cache
def star_library(n_terms: int, n_labels: int, dtype: str, exact: bool) -> Any:
    """Sums and steps for a number of terms and labels; None without a compiler."""
    precise = ("-DEXACT",) if exact else ()
    found = _library("_stars.c", f"-DT={n_terms}", f"-DL={n_labels}", *REALS[dtype], *precise)
    if found is not None:
        found.starnet_cannon_forms.argtypes = [
            *(POINTER, POINTER, LONG, LONG, LONG),
            *(POINTER for _ in range(8)),
        ]
        found.starnet_cannon_descend.restype = None
        found.starnet_cannon_descend.argtypes = [
            *(LONG, LONG, NUMBER),
            *(POINTER for _ in range(7)),
            *(NUMBER, REAL, REAL, POINTER, POINTER, POINTER),
        ]
    return found


def _library(source: str, *macros: str) -> Any:
    try:
        return compiled(HERE / source, *OPTIMISE, *macros)
    except CannotCompileError as error:
        _say_once(str(error))
        return None


@functools.cache
def _say_once(why: str) -> None:
    log.warning("The fast Cannon is off: %s; results are the same, but slower.", why)


def fit_compiled(
    flux: Array,
    ivar: Array,
    design: Array,
    allowed: Array | None,
    *,
    enough: float,
    rounds: int,
) -> tuple[Array, Array]:
    """Coefficients (P, T) and scatter2 (P,) of spectra (N, P) with terms (N, T).

    Parameters
    ----------
    flux, ivar, design, allowed
        As `fit_pixels` takes them.
    enough, rounds
        When a pixel is done: part of the error of its scatter, and rounds at most.
    """
    flux, ivar = np.ascontiguousarray(flux), np.ascontiguousarray(ivar)
    n, n_pixels = flux.shape
    whole = with_products(design)
    held = None if allowed is None else np.ascontiguousarray(~allowed, dtype=np.uint8)
    theta, scatter2 = np.empty((n_pixels, design.shape[1])), np.empty(n_pixels)
    run = pixel_library(design.shape[1], flux.dtype.name).starnet_cannon_pixels

    def fit(first: int) -> None:
        failed = run(
            *(flux.ctypes.data, ivar.ctypes.data, n_pixels, n),
            *(first, min(first + PIXELS, n_pixels)),
            *(array.ctypes.data for array in whole),
            None if held is None else held.ctypes.data,
            *(RIDGE["float64"], enough, rounds),
            *(theta.ctypes.data, scatter2.ctypes.data),
        )
        if failed:
            raise MemoryError("The Cannon found no memory for the spectra of a few pixels.")

    in_threads(fit, range(0, n_pixels, PIXELS))
    return theta, scatter2


def with_products(design: Array) -> tuple[Array, Array]:
    """The terms (N, T) and all their products (N, T (T + 1) / 2), in rows of stars."""
    first, second = np.triu_indices(design.shape[1])
    own = np.ascontiguousarray(design, dtype=np.float64)
    return own, np.ascontiguousarray(own[:, first] * own[:, second])


def forms_compiled(
    flux: Array, ivar: Array, used: Array, scatter2: Array, theta: Array, n_labels: int
) -> tuple[Array, Array, Array, Array]:
    """Matrix (M, T, T), right side (M, T), constant and number of pixels (M,) of chi-square.

    Of spectra (M, P) in pixels that are ``used``; ``theta`` (P, T) and ``scatter2`` (P,) are of
    the precision that sums are in. Fluxes are less those at the pivot.
    """
    flux, ivar = np.ascontiguousarray(flux), np.ascontiguousarray(ivar)
    (n, n_pixels), size = flux.shape, theta.shape[1]
    first, second = np.triu_indices(size)
    products = np.ascontiguousarray(theta[:, first] * theta[:, second])
    given = [np.ascontiguousarray(used, dtype=np.uint8), scatter2, theta, products]
    out = (np.empty((n, size, size)), np.empty((n, size)), np.empty(n), np.empty(n, np.int64))
    exact = theta.dtype == np.float64
    run = star_library(size, n_labels, flux.dtype.name, exact).starnet_cannon_forms
    places = [array.ctypes.data for array in (*given, *out)]

    def sums(at: int) -> None:
        stop = min(at + STARS, n)
        if run(flux.ctypes.data, ivar.ctypes.data, n_pixels, at, stop, *places):
            raise MemoryError("The Cannon found no memory for the sums of a few stars.")

    in_threads(sums, range(0, n, STARS))
    return out


def descend_compiled(
    matrix: Array,
    right: Array,
    constant: Array,
    terms: Terms,
    x: Array,
    bounds: Array,
    *,
    rounds: int,
    surely: float,
    enough: float,
) -> tuple[Array, Array, Array]:
    """Labels (M, S, L), chi-square and whether steps have ended (M, S), from starts (M, S, L)."""
    n, starts, n_labels = x.shape
    out = (np.array(x, order="C"), np.empty((n, starts)), np.zeros((n, starts), bool))
    low, high = (np.ascontiguousarray(side) for side in bounds.T)
    held = [np.ascontiguousarray(array) for array in (matrix, right, constant)]
    given = [*held, *terms.growth, low, high]
    places = [array.ctypes.data for array in given]
    found = [array.ctypes.data for array in out]
    run = star_library(len(terms), n_labels, "float32", False).starnet_cannon_descend

    def descend(at: int) -> None:
        run(at, min(at + STARS, n), starts, *places, rounds, surely, enough, *found)

    in_threads(descend, range(0, n, STARS))
    return out
