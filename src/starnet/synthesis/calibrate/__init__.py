"""Line data calibrated on observed atlases of stars that are known well.

corrections   what a calibration changes, as a table that line lists take
atlas         observed spectra, and what is accepted of their stars
observed      a model beside an atlas: broadening, pixels, continuum
fit           the fit itself (needs torch; import it by name)
"""

from pathlib import Path

from starnet.synthesis.calibrate.corrections import Corrections
from starnet.synthesis.calibrate.matching import Matches

HBAND = Path(__file__).with_name("hband.ecsv")
"""The table that comes with the package: 15080-17040 Angstrom, fitted to the Sun and Arcturus by
``benchmarks/physics_2_atlas.py``."""

__all__ = ["HBAND", "Corrections", "Matches"]
