"""Public archives: which files there are, and how they get here whole."""

from starnet.archives._report import DownloadReport, Outcome
from starnet.archives.download import download, fetch_miles
from starnet.archives.items import Item, apogee_items, catalogue_items, miles_items, sdss_items
from starnet.archives.physics import fetch_physics, physics_folder, physics_items, physics_roles

__all__ = [
    "DownloadReport",
    "Item",
    "Outcome",
    "apogee_items",
    "catalogue_items",
    "download",
    "fetch_miles",
    "fetch_physics",
    "miles_items",
    "physics_folder",
    "physics_items",
    "physics_roles",
    "sdss_items",
]
