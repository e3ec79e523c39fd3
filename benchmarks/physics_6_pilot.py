"""Figure 6 of `physics`: a network trained on synthetic APOGEE spectra alone.

    starnet synth synth-apogee-pilot --out pilot.zarr --physics DATA/physics
    python benchmarks/physics_6_pilot.py pilot.zarr [--data DATA] [--work FOLDER]

Stars of the library are split 85 : 5 : 10 by star. Those for training are observed six times each
through the APOGEE observer at S/N 80 to 300, and get fresh noise down to S/N 40 in every epoch;
those for the test are observed once at S/N 100. The 2018 network, with dropout, learns all labels
at once. ``scatter`` is the robust scatter over the test stars. Then the observed atlases of the Sun
and Arcturus go through the APOGEE preset and the network; it has never seen an observed spectrum.
(The line corrections that the library is made with come from the same two
atlases, so their labels are no independent test of the lines.)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from _record import record
from _references import DATA
from starnet.dataset import DatasetWriter, open_dataset, split_by_star
from starnet.evaluate import robust_scatter
from starnet.inference import Predictor
from starnet.preprocess import AddNoise, ChipMedian, InterpolateMasked, Pipeline, SelectPixels
from starnet.spectra import Labels, LineSpread, Spectra, WavelengthGrid
from starnet.synthesis.calibrate.atlas import ARCTURUS, SUN, Atlas
from starnet.synthesis.observe import Instrument, Observer
from starnet.training import Recipe, train_model

SEED = 2018
VISITS = {"train": 6, "valid": 2, "test": 1}
CHIPS = [[322, 3242], [3648, 6048], [6412, 8306]]
ATLASES = {"sun": ("solar.20190819.txt", SUN), "arcturus": ("arct.20190830.txt", ARCTURUS)}
NETWORK = {
    "family": "starnet",
    "filters": [4, 16],
    "kernel": 8,
    "pool": 4,
    "dense": [256, 128],
    "dropout": 0.1,
}
EPOCHS = 24
MAIN = ("teff", "logg", "fe_h")
LEFT_OUT = ("vmac", "vsini")


def observe(library: Any, work: Path) -> dict[str, NDArray[Any]]:
    """The observed data set ``observed.zarr``; rows of it for each purpose."""
    shares = split_by_star(library.stars, (0.85, 0.05, 0.10), seed=SEED)
    parts = dict(zip(("train", "valid", "test"), shares, strict=True))
    apogee = Instrument.preset("apogee")
    out, rows, n = work / "observed.zarr", {}, 0
    labels = library.labels
    keep = [name for name in labels.names if name not in LEFT_OUT]
    with DatasetWriter(out, grid=library.grid, label_names=keep, overwrite=True) as writer:
        for part, chosen in parts.items():
            snr = (100.0, 100.0) if part == "test" else (80.0, 300.0)
            observer = Observer(apogee, seed=SEED, snr=snr)
            begin = n
            for visit in range(VISITS[part]):
                for start in range(0, len(chosen), 256):
                    some = np.sort(chosen[start : start + 256])
                    seen = observer(library.read(some), visit=visit)
                    writer.append(named(seen, visit), labels[some].select(keep))
                    n += len(some)
            rows[part] = np.arange(begin, n)
    return rows


def named(spectra: Spectra, visit: int) -> Spectra:
    """With ids of their own and the star they are of."""
    stars = np.asarray(spectra.ids)
    meta = Table({"id": [f"{star}-{visit}" for star in stars], "star": stars})
    return spectra.replace(meta=meta)


def recipe(names: tuple[str, ...]) -> Recipe:
    """The network and training of the 2018 paper, on masks that are filled."""
    steps = [
        SelectPixels(ranges=CHIPS, unit="pixel", n_pixels=8575),
        AddNoise(snr=(40.0, 250.0)),
        InterpolateMasked(),
        ChipMedian(),
    ]
    return Recipe.from_dict(
        {
            "name": "physics-pilot",
            "labels": list(names),
            "preprocess": Pipeline(steps).to_dict(),
            "networks": [
                {
                    "family": "starnet",
                    "filters": [4, 16],
                    "kernel": 8,
                    "pool": 4,
                    "dense": [256, 128],
                }
            ],
            "training": {
                "optimizer": "adamw",
                "weight_decay": 0.01,
                "lr": 0.001,
                "batch_size": 64,
                "epochs": EPOCHS,
                "schedule": "onecycle",
                "patience": None,
            },
            "seed": SEED,
        }
    )


def atlas_spectrum(path: Path, labels: Labels, library: Any) -> Spectra:
    """An atlas through the APOGEE preset, at the velocity at which it looks most like a star."""
    atlas = Atlas.read(path, "air")
    good = np.isfinite(atlas.flux)
    flux = np.interp(atlas.wavelength, atlas.wavelength[good], atlas.flux[good])
    near = int(np.argmin(np.sum(((labels.values - library.labels.values) / SCALE) ** 2, axis=1)))
    model = library.read([near]).flux[0]
    speed = 0.0
    for reach, step in ((40.0, 2.0), (2.0, 0.25)):
        trials = speed + np.arange(-reach, reach + step / 2, step)
        gaps = [np.sum((moved(atlas.wavelength, flux, v) - model)[GOOD] ** 2) for v in trials]
        speed = float(trials[int(np.argmin(gaps))])
    print(path.name, "moved by", speed, "km/s")
    seen = projected(atlas.wavelength, flux, speed)
    return seen.replace(ivar=np.where(seen.mask, 0.0, ATLAS_SNR**2))


def moved(wave: NDArray[Any], flux: NDArray[Any], speed: float) -> NDArray[Any]:
    """An atlas on APOGEE's pixels after a shift."""
    return projected(wave, flux, speed).flux[0]


def projected(wave: NDArray[Any], flux: NDArray[Any], speed: float) -> Spectra:
    """An atlas through the APOGEE preset, its wavelengths divided by a Doppler factor."""
    even = np.exp(np.arange(np.log(15080.0), np.log(17000.0), 1 / 300_000))
    grid = WavelengthGrid(even, "vacuum", lsf=LineSpread(resolution=100_000.0))
    at_rest = np.interp(even, wave / (1 + speed / 299792.458), flux)
    return Instrument.preset("apogee").project(Spectra(grid, at_rest[None], frame="rest"))


ATLAS_SNR = 200.0
GOOD = slice(2000, 2900)
SCALE = np.array([300.0, 0.4, 0.2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("pilot-work"))
    arguments = parser.parse_args()
    arguments.work.mkdir(exist_ok=True, parents=True)
    library = open_dataset(arguments.library)
    rows = observe(library, arguments.work)
    data = open_dataset(arguments.work / "observed.zarr")
    names = data.label_names
    result = train_model(
        data,
        recipe(names),
        rows=(rows["train"], rows["valid"], rows["test"]),
        checkpoint_dir=arguments.work / "checkpoints",
    )
    result.model.save(arguments.work / "model", overwrite=True)
    predictor = Predictor(result.model)
    found = predictor.predict(data.read(rows["test"])).labels
    truth = data.labels[rows["test"]]
    gap = found.values - truth.select(found.names).values
    scatter = {n: float(robust_scatter(gap[:, i])) for i, n in enumerate(found.names)}
    bias = {n: float(np.median(gap[:, i])) for i, n in enumerate(found.names)}
    figures: dict[str, Any] = {"n_spectra": len(library), "scatter": scatter}
    accepted = {}
    for star, (name, about) in ATLASES.items():
        three = Labels(MAIN, [[about.labels[m] for m in MAIN]])
        main_only = _Main(library)
        seen = atlas_spectrum(arguments.data / "apogee/atlas" / name, three, main_only)
        got = predictor.predict(seen).labels
        figures[star] = {n: float(got.column(n)[0]) for n in found.names}
        accepted[star] = {n: about.labels.get(n, 0.0) for n in found.names if n != "vmic"}
        print(star, {n: round(figures[star][n], 3) for n in found.names})
    print("scatter", {n: round(v, 4) for n, v in scatter.items()})
    record(
        "physics",
        6,
        figures,
        seed=SEED,
        bias=bias,
        accepted=accepted,
        spectra={part: len(index) for part, index in rows.items()},
    )


class _Main:
    """A library with its main labels only."""

    def __init__(self, library: Any) -> None:
        self.labels, self.read = library.labels.select(MAIN), library.read


if __name__ == "__main__":
    main()
