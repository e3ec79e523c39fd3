"""Pseudo-real APOGEE stars with known labels: published models that were learnt from real spectra.

Each reader gives the labels of a set of stars and the spectra that the model predicts for them, on
the pixels of apStar files (vacuum, rest), gaps masked. The normalisation is that of the spectra
which the model was fitted to: a pseudo-continuum, not the continuum of a synthesis. They are for
tests; nothing is trained or calibrated on them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from physics_2_atlas import CHIPS, Cannon
from starnet.spectra import Labels, Spectra
from starnet.synthesis.observe import Instrument

Array = NDArray[Any]
FOLDER = Path("apogee/generators")
SNR = 150.0
"""Of spectra whose model tells no scatter."""
DR10_LABELS = ("Teff_{corr}", "logg_{corr}", "[M/H]_{corr}")
VMACRO = 5.0
"""km/s, of the dwarfs; the model's fifth label, which no table gives."""


@dataclass(frozen=True, eq=False)
class Published:
    """Stars of a published model.

    Attributes
    ----------
    name : str
    labels : Labels
        Of N stars, those by which the model made the spectra.
    spectra : Spectra
        Noise-free fluxes on apStar's pixels, with the inverse variance of the model's scatter.
    """

    name: str
    labels: Labels
    spectra: Spectra

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Published:
        return Published(self.name, self.labels[rows], self.spectra[rows])

    def noisy(self, seed: int) -> Published:
        """With normal noise of the inverse variances."""
        ivar = self.spectra.ivar
        sigma = np.where(ivar > 0, 1.0 / np.sqrt(np.where(ivar > 0, ivar, 1.0)), 0.0)
        noise = np.random.default_rng(seed).standard_normal(sigma.shape)
        flux = self.spectra.flux + sigma * noise
        return Published(self.name, self.labels, self.spectra.replace(flux=flux))


def cannon_apokasc(data: Path) -> Published:
    """The Cannon of 1,801 APOKASC giants at its own training labels (J. Bovy's package apogee).

    Learnt from DR10's aspcapStar spectra; Teff calibrated, log g from seismology, [Fe/H] of stars
    and clusters. Inverse variances are those of the model's scatter in each pixel.
    """
    folder = data / FOLDER / "cannon_apokasc"
    model = Cannon(folder)
    names = ("teff", "logg", "fe_h", "alpha_m")
    flux = np.stack([model(row) for row in model.training])
    scatter = np.loadtxt(folder / "trained_apokasc_gc_ind_feh_fix_scatter.txt")
    error = np.hypot(on_grid(scatter), 1.0 / SNR)
    return published("cannon_apokasc", names, model.training, flux, error)


def cannon_dr10(data: Path) -> Published:
    """The Cannon of 548 DR10 reference stars at their calibrated labels.

    Fitted with AnniesLasso: terms 1, linear, then products in the order of
    ``itertools.combinations_with_replacement``, of labels less their median over the range of
    their middle 95 per cent.
    """
    folder = data / FOLDER / "cannon_dr10"
    with (folder / "reference_labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = np.array([[float(row[name]) for name in DR10_LABELS] for row in rows])
    theta = np.loadtxt(folder / "theta.csv", delimiter=",")  # (8575, 10)
    low, middle, high = np.percentile(values, [2.5, 50.0, 97.5], axis=0)
    x = (values - middle) / (high - low)
    first, second = np.triu_indices(3)
    terms = np.column_stack([np.ones(len(x)), x, x[:, first] * x[:, second]])
    flux = terms @ theta.T
    return published("cannon_dr10", ("teff", "logg", "fe_h"), values, flux, 1.0 / SNR)


def binspec(data: Path, n: int = 400, seed: int = 3) -> Published:
    """Dwarfs by the data-driven network of El-Badry et al. 2018 (MNRAS 473, 5043).

    One hidden layer of five sigmoids for each pixel; labels scaled to -0.5..0.5. Teff, log g and
    [Fe/H] are those of DR17 stars within the network's bounds; [Mg/Fe] rises to metal-poor stars
    by 0.25 dex a dex, and the broadening is `VMACRO`.
    """
    with np.load(data / FOLDER / "binspec/NN_normalized_spectra.npz") as file:
        net = {name: file[name].astype(float) for name in file.files}
    table = Table.read(data / "labels/apogee_dr17_subset_50k.csv", format="ascii.csv")
    stars = np.column_stack([np.asarray(table[name], float) for name in table.colnames[-3:]])
    low, high = net["x_min"], net["x_max"]
    inside = np.all((stars > low[:3]) & (stars < high[:3]), axis=1)
    rng = np.random.default_rng(seed)
    chosen = stars[np.sort(rng.choice(np.flatnonzero(inside), n, replace=False))]
    mg_fe = np.clip(-0.25 * chosen[:, 2], 0.0, 0.3)
    labels = np.column_stack([chosen, mg_fe, np.full(n, VMACRO)])
    scaled = (labels - low) / (high - low) - 0.5
    hidden = np.einsum("pkl,nl->npk", net["w_array_0"], scaled) + net["b_array_0"]
    flux = np.einsum("npk,pk->np", 1.0 / (1.0 + np.exp(-hidden)), net["w_array_1"])
    flux = on_grid(flux + net["b_array_1"])
    return published("binspec", ("teff", "logg", "fe_h", "mg_fe"), labels[:, :4], flux, 1 / SNR)


GENERATORS: dict[str, Callable[[Path], Published]] = {
    "cannon_dr10": cannon_dr10,
    "cannon_apokasc": cannon_apokasc,
    "binspec": binspec,
}


def on_grid(values: Array) -> Array:
    """Values (..., 7214) of the pixels within the chips on all 8575, NaN between them."""
    rows = np.concatenate([np.arange(*chip) for chip in CHIPS])
    out = np.full((*values.shape[:-1], Instrument.preset("apogee").grid.n_pixels), np.nan)
    out[..., rows] = values
    return out


def published(
    name: str, names: tuple[str, ...], labels: Array, flux: Array, error: Array | float
) -> Published:
    """Stars with their spectra; what is not finite, or between chips, is masked."""
    grid = Instrument.preset("apogee").grid
    inside = np.zeros(grid.n_pixels, dtype=bool)
    for start, stop in CHIPS:
        inside[start:stop] = True
    mask = ~(inside & np.isfinite(flux))
    ivar = np.where(mask, 0.0, 1.0 / np.broadcast_to(error, flux.shape) ** 2)
    meta = Table({"id": [f"{name}-{i:04d}" for i in range(len(flux))]})
    flux = np.where(mask, 1.0, flux)
    spectra = Spectra(grid, flux, ivar, mask, frame="rest", meta=meta)
    return Published(name, Labels(names, labels), spectra)
