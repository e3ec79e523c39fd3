"""Readers of survey files, quality cuts, and the way from a folder to its spectra.

Importing a module of a survey registers it. No file is of two kinds, so their order is free.
"""

from starnet.surveys import bits, cuts
from starnet.surveys._options import ReadOptions
from starnet.surveys._registry import (
    SURVEYS,
    Opened,
    Survey,
    identify,
    read_file,
    read_many,
    register,
)
from starnet.surveys.apstar import APSTAR
from starnet.surveys.apvisit import APVISIT
from starnet.surveys.arms import join_arms
from starnet.surveys.aspcapstar import ASPCAPSTAR
from starnet.surveys.bits import PixelBits
from starnet.surveys.cuts import Cut
from starnet.surveys.find import find
from starnet.surveys.galah import GALAH
from starnet.surveys.generic import GENERIC
from starnet.surveys.lamost import LAMOST
from starnet.surveys.mastar import MASTAR
from starnet.surveys.miles import MILES
from starnet.surveys.position import stars_by_position
from starnet.surveys.sdss import SDSS

__all__ = [
    "APSTAR",
    "APVISIT",
    "ASPCAPSTAR",
    "GALAH",
    "GENERIC",
    "LAMOST",
    "MASTAR",
    "MILES",
    "SDSS",
    "SURVEYS",
    "Cut",
    "Opened",
    "PixelBits",
    "ReadOptions",
    "Survey",
    "bits",
    "cuts",
    "find",
    "identify",
    "join_arms",
    "read_file",
    "read_many",
    "register",
    "stars_by_position",
]
