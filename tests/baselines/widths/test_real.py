"""The classical analysis of real stars of high resolution, whose labels others have published."""

import numpy as np
import pytest
from astropy.io import fits

from starnet.baselines.widths import EquivalentWidths
from starnet.spectra import Labels, LineSpread, Spectra, WavelengthGrid

FILES = {
    "ATLAS.Sun_47000.fits": (5777.0, 4.44, 0.0),
    "UVES_betHyi-1_47000.fits": (5917.0, 3.97, -0.12),
    "UVES_epsEri-2_47000.fits": (5062.0, 4.60, -0.08),
    "NARVAL_HD175305_47000.fits": (4902.0, 2.53, -1.45),
}
"""Labels of the Gaia FGK benchmark stars v3 (Soubiran et al. 2024)."""


@pytest.fixture(scope="module")
def stars(shared_data) -> tuple[Spectra, Labels]:
    """Four of them, 4800 to 6800 Angstrom."""
    flux = []
    for name in FILES:
        with fits.open(shared_data / "highres" / name) as hdus:
            values = np.array(hdus[0].data, dtype=float)
        flux.append(values / np.median(values))
    grid = WavelengthGrid.linear(4800.0, 0.01, 200000, "air", lsf=LineSpread(resolution=47000.0))
    labels = Labels(("teff", "logg", "fe_h"), np.array(list(FILES.values())))
    return Spectra(grid, np.array(flux), mask=~(np.array(flux) > 0.01)), labels


@pytest.mark.parametrize("zero_points", [False, True])
def test_labels_are_near_the_published_ones(stars, zero_points):
    spectra, labels = stars
    fitted = EquivalentWidths(zero_points=zero_points).fit(spectra[:2], labels[:2])
    off = fitted.predict(spectra).values - labels.values
    assert np.all(np.abs(off) < [130, 0.35, 0.15 if zero_points else 0.3]), off
