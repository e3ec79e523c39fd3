"""Stars as a survey observes them: labels that go together as they do in the sky.

    labels = draw(500, seed=1)                       # of APOGEE's stars, 21 labels
    Sampler.from_dict({"sampler": "population"})     # the same in a plan

Teff, log g and [Fe/H] come from a mixture of Gaussians; then a star belongs to the sequence of
high or of low [alpha/Fe], with a chance that follows [Fe/H], and its abundances scatter about the
lines of that sequence, together as they do in the table they were fitted to. C and N change with
log g, as giants dredge up. The numbers lie in ``populations/*.yaml`` with how they were fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet._shipped import read_settings
from starnet.errors import ConfigError
from starnet.library.sampler import BLOCK, Accept, Sampler, pairs, register
from starnet.spectra import Labels
from starnet.synthesis.composition import vmic_relation

Array = NDArray[Any]
STARS = ("teff", "logg", "fe_h")
TRACERS = ("o_fe", "mg_fe", "si_fe", "s_fe")
ALPHA_DIVIDE = 0.10
"""[alpha/Fe] at solar [Fe/H] that divides the sequences; it rises to metal-poor stars."""
SCATTER = 0.08
"""Of vmic and vmac about their relations, dex."""
TURN = (3.4, 3.9)
"""log g between which giants become dwarfs."""
_FOLDER = "populations"


def divide(fe_h: Array, alpha: Array) -> NDArray[np.bool_]:
    """Whether stars belong to the sequence of high [alpha/Fe], (N,)."""
    return alpha > ALPHA_DIVIDE - 0.10 * np.clip(fe_h, -0.8, 0.0)


def vmic_of(teff: Any, logg: Any) -> Array:
    """Microturbulence in km/s: of giants `vmic_relation`, of dwarfs that of Bruntt et al. 2010.

    Bruntt et al. (MNRAS 405, 1907): 1.01 + 4.56e-4 (Teff - 5700) + 2.75e-7 (Teff - 5700)**2,
    held from 0.7 to 1.8; between the two it goes over at log g `TURN`.
    """
    off = np.asarray(teff) - 5700.0
    dwarf = np.clip(1.01 + 4.56e-4 * off + 2.75e-7 * off**2, 0.7, 1.8)
    giant = vmic_relation(np.clip(logg, 0.0, TURN[1]))
    share = dwarf_share(logg)
    return (1 - share) * giant + share * dwarf


def vmac_relation(teff: Any, logg: Any, fe_h: Any) -> Array:
    """Macroturbulence in km/s, as the contract of engines takes it (radial-tangential).

    Giants: twice 10**(0.471 - 0.254 [Fe/H]), which is the relation of Holtzman et al. (2018, AJ
    156, 125) taken as the sigma of a Gaussian; the atlas of Arcturus has a sigma of 3.05. Dwarfs:
    3.21 + 2.33e-3 (Teff - 5777) + 2.00e-6 (Teff - 5777)**2 - 2.00 (log g - 4.44) (Doyle et al.
    2014, MNRAS 444, 3592). Both are held from 1 to 9 km/s; at log g `TURN` one becomes the other.
    """
    teff, logg, fe_h = (np.asarray(v, dtype=float) for v in (teff, logg, fe_h))
    off = np.clip(teff, 5000.0, 6800.0) - 5777.0
    dwarf = 3.21 + 2.33e-3 * off + 2.00e-6 * off**2 - 2.00 * (logg - 4.44)
    giant = 2 * 10.0 ** (0.471 - 0.254 * fe_h)
    share = dwarf_share(logg)
    return (1 - share) * np.clip(giant, 1.0, 9.0) + share * np.clip(dwarf, 1.0, 9.0)


def dwarf_share(logg: Any) -> Array:
    """0 for giants, 1 for dwarfs, (N,)."""
    return np.clip((np.asarray(logg, dtype=float) - TURN[0]) / (TURN[1] - TURN[0]), 0.0, 1.0)


@register
@dataclass(frozen=True, kw_only=True)
class PopulationSampler(Sampler):
    """Teff, log g, [Fe/H], vmic and abundances of a survey's stars; other labels by rules.

    Parameters
    ----------
    population : str
        One that comes with the package by name (``apogee``), or a YAML file of that form.
    bounds : mapping of label to (low, high)
        In place of the population's own, which are where the emulator of APOGEE holds. A star
        with any label outside is left out.
    vmac : bool
        Also draw macroturbulence, by `vmac_relation` with scatter.
    labels : mapping of label to rule
        Labels by rules instead of the population's; the rest stays as it is.
    single, seed
        See `Sampler`.
    """

    kind = "population"
    population: str = "apogee"
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    vmac: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "population", str(self.population))
        model = self.model
        super().__post_init__()
        object.__setattr__(self, "bounds", pairs(self.bounds, "bounds"))
        if strange := [name for name in self.bounds if name not in model.names]:
            raise ConfigError(
                f"bounds are for the labels of the population ({', '.join(model.names)}), not for "
                f"{', '.join(strange)}; give that a rule."
            )

    @property
    def model(self) -> Population:
        """The population's numbers."""
        return load_population(self.population)

    @property
    def own(self) -> tuple[str, ...]:
        given = [str(name) for name in self.labels]
        names = (*self.model.names, "vmac") if self.vmac else self.model.names
        return tuple(name for name in names if name not in given or name in STARS)

    def candidates(self) -> Iterator[Array]:
        limits = {**self.model.bounds, **self.bounds}
        for number in range(2**30):
            rng = np.random.default_rng([self.seed, number])
            drawn = self.model.stars(rng, BLOCK)
            factor = 10.0 ** (SCATTER * rng.standard_normal(BLOCK))
            drawn["vmac"] = factor * vmac_relation(*(drawn[name] for name in STARS))
            outside = np.zeros(BLOCK, dtype=bool)
            for name in self.own:
                low, high = limits.get(name, (-np.inf, np.inf))
                outside |= (drawn[name] < low) | (drawn[name] > high)
            for a, b, most in self.model.data.get("limits", ()):
                outside |= drawn[a] > drawn[b] + most
            drawn["teff"] = np.where(outside, np.nan, drawn["teff"])
            own = {name: drawn[name] for name in self.own}
            yield self.filled(own, rng.random((BLOCK, 1 + len(self.labels))))


@dataclass(frozen=True, eq=False)
class Population:
    """The numbers of a population; `stars` draws from them.

    Attributes
    ----------
    data : mapping
        As the YAML file has it. ``limits``, of which it may have none, are (a, b, most): the
        label a is at most b plus this, as in the hull of an emulator.
    """

    data: Mapping[str, Any]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Labels that are drawn, in order."""
        return tuple(self.data["bounds"])

    @cached_property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Where the stars lie."""
        return pairs(self.data["bounds"], "bounds")

    @cached_property
    def _mixture(self) -> tuple[Array, Array, Array]:
        """Cumulative weights (K,), means (K, 3), and roots of the covariances (K, 3, 3)."""
        rows = self.data["stars"]
        covariances = np.zeros((len(rows["weights"]), 3, 3))
        i, j = np.tril_indices(3)
        covariances[:, i, j] = covariances[:, j, i] = rows["covariances"]
        return (
            np.cumsum(rows["weights"]),
            np.array(rows["means"], dtype=float).T,
            np.linalg.cholesky(covariances),
        )

    @cached_property
    def _roots(self) -> dict[str, Array]:
        """Root of the covariance of the scatter (E, E) of each sequence."""
        rows, roots = self.data["sequences"], {}
        for name in ("low", "high"):
            sd = np.array(rows[f"scatter_{name}"])
            matrix = np.eye(sd.size)
            for i, row in enumerate(rows[f"correlation_{name}"], start=1):
                matrix[i, :i] = matrix[:i, i] = row
            values, vectors = np.linalg.eigh(matrix)
            roots[name] = sd[:, None] * vectors * np.sqrt(np.maximum(values, 1e-4))
        return roots

    def stars(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """Labels of n stars, (n,) each; some lie outside of the bounds."""
        reach, means, roots = self._mixture
        which = np.searchsorted(reach / reach[-1], rng.random(n), side="right")
        noise = rng.standard_normal((n, 3, 1))
        drawn = means[which] + (roots[which] @ noise)[..., 0]
        teff, logg, fe_h = drawn.T
        vmic = vmic_of(teff, logg) * 10.0 ** (SCATTER * rng.standard_normal(n))
        out = {"teff": teff, "logg": logg, "fe_h": fe_h, "vmic": vmic}
        return {**out, **self._abundances(rng, logg, fe_h)}

    def _abundances(self, rng: np.random.Generator, logg: Array, fe_h: Array) -> dict[str, Array]:
        rows, adopted = self.data["sequences"], self.data["adopted"]
        high = rng.random(fe_h.size) < np.interp(fe_h, rows["fe_h"], rows["high_fraction"])
        noise = rng.standard_normal((fe_h.size, len(rows["names"])))
        scatter = np.where(high[:, None], *(noise @ self._roots[s].T for s in ("high", "low")))
        out = {}
        for i, name in enumerate(rows["names"]):
            lines = (np.interp(fe_h, rows["fe_h"], rows[s][name]) for s in ("high", "low"))
            out[name] = np.where(high, *lines) + scatter[:, i]
        for name, row in adopted["elements"].items():
            lines = (np.interp(fe_h, adopted["fe_h"], row[s]) for s in ("high", "low"))
            out[name] = np.where(high, *lines) + row["sd"] * rng.standard_normal(fe_h.size)
        for name, line in rows["along_logg"].items():
            out[name] = out[name] + np.interp(logg, rows["logg"], line)
        return out


@lru_cache(maxsize=8)
def load_population(which: str = "apogee") -> Population:
    """A population of the package by name, or one from a YAML file.

    Raises
    ------
    ConfigError
        If there is none of that name, or the file does not hold one.
    """
    data, _ = read_settings(which, resources.files("starnet.library") / _FOLDER, "population")
    population = Population(data)
    try:
        drawn = population.stars(np.random.default_rng(0), 2)
        whole = set(drawn) == set(population.names)
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise ConfigError(
            f"{which} does not hold a population ({type(error).__name__}: {error}); it takes the "
            "form of populations/apogee.yaml, which benchmarks/fit_population.py writes."
        ) from error
    if not whole:
        raise ConfigError(
            f"{which} needs bounds for just the labels that it draws ({', '.join(drawn)}); "
            f"received {', '.join(population.names)}."
        )
    return population


def draw(
    n: int,
    seed: int,
    *,
    accept: Accept | None = None,
    vmac: bool = False,
    population: str = "apogee",
) -> Labels:
    """Labels of n stars as a survey observes them: those that the emulator of APOGEE has.

    Parameters
    ----------
    n : int
    seed : int
        Other seeds give other stars; a larger draw begins with the stars of a smaller one.
    accept : callable, optional
        Which stars can be made, such as `Emulator.covers`.
    vmac : bool
        Also macroturbulence, as last label; it leaves the others as they are.
    population : str
        See `PopulationSampler`.

    Raises
    ------
    ConfigError
        If n or the seed is not a whole number in range, or there is no such population.
    LabelError
        If almost no star is accepted.
    """
    return PopulationSampler(population=population, seed=seed, vmac=vmac).draw(n, accept)
