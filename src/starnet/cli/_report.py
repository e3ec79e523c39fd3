"""Tables and figures of predicted against reference labels, for several verbs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

    from starnet.spectra import Labels


def write_comparison(predicted: Labels, reference: Labels, folder: Path) -> Table:
    """Residual table and figures of predictions for stars with known labels.

    Writes ``residuals.ecsv``, ``one_to_one.png``, ``residuals.png`` and, where there are teff
    and logg, ``kiel.png``. Returns the table.
    """
    from starnet import plots
    from starnet.catalog import write_table
    from starnet.evaluate import residual_table

    table = residual_table(predicted, reference)
    write_table(table, folder / "residuals.ecsv")
    summary = [f"{r['median']:+.3g} ± {r['scatter']:.3g} {r['unit']}, n = {r['n']}" for r in table]
    plots.save(plots.one_to_one(predicted, reference, summary=summary), folder / "one_to_one.png")
    plots.save(plots.residuals(predicted, reference), folder / "residuals.png")
    if {"teff", "logg"} <= set(predicted.names) & set(reference.names):
        both = plots.kiel(("reference", reference), ("predicted", predicted))
        plots.save(both, folder / "kiel.png")
    return table
