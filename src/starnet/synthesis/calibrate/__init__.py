"""Line data calibrated on observed atlases of stars that are known well.

corrections   what a calibration changes, as a table that line lists take
atlas         observed spectra, and what is accepted of their stars
observed      a model beside an atlas: broadening, pixels, continuum
fit           the fit itself (needs torch; import it by name)
"""

from starnet.synthesis.calibrate.corrections import Corrections
from starnet.synthesis.calibrate.matching import Matches

__all__ = ["Corrections", "Matches"]
