"""Many spectra to one label catalogue."""

from starnet.catalog.run import CatalogReport, make_catalog
from starnet.catalog.stored import label_dataset, label_rows
from starnet.catalog.writers import check_writable, read_table, write_table

__all__ = [
    "CatalogReport",
    "check_writable",
    "label_dataset",
    "label_rows",
    "make_catalog",
    "read_table",
    "write_table",
]
