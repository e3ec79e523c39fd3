"""Libraries of synthetic spectra: which stars to make, and making them into a data set.

    plan = load_plan("synth-generic")
    report = make_library(plan, "generic.zarr")

`rules` say how one label is drawn, `sampler` is the contract of the samplers (`sobol`, `table`,
`isochrone`, `population`), `region` which stars can be made, `plan` all that defines a library,
`make` computes one shard, `shard` keeps it in a `folder`, `pools` are where that happens, `run`
does the whole.
"""

from starnet.library.engine import open_engine
from starnet.library.folder import made_before, shards_path
from starnet.library.isochrone import IsochroneSampler
from starnet.library.mixed import draw_mixed
from starnet.library.parsec import Isochrone, read_isochrones
from starnet.library.plan import LibraryPlan, load_plan, plan_names
from starnet.library.population import PopulationSampler, draw, vmac_relation
from starnet.library.region import atmospheres_accept
from starnet.library.rules import RULES, Box, Rule, Trend, Vmic
from starnet.library.run import LibraryReport, draw_stars, make_library
from starnet.library.sampler import SAMPLERS, Sampler
from starnet.library.sobol import SobolSampler
from starnet.library.table import TableSampler

__all__ = [
    "RULES",
    "SAMPLERS",
    "Box",
    "Isochrone",
    "IsochroneSampler",
    "LibraryPlan",
    "LibraryReport",
    "PopulationSampler",
    "Rule",
    "Sampler",
    "SobolSampler",
    "TableSampler",
    "Trend",
    "Vmic",
    "atmospheres_accept",
    "draw",
    "draw_mixed",
    "draw_stars",
    "load_plan",
    "made_before",
    "make_library",
    "open_engine",
    "plan_names",
    "read_isochrones",
    "shards_path",
    "vmac_relation",
]
