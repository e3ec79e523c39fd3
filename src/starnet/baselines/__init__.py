"""Methods that StarNet is held against, behind one contract: fit, predict, errors, save."""

from starnet.baselines import boosting as _boosting  # noqa: F401 - registers its methods
from starnet.baselines import cannon as _cannon  # noqa: F401 - registers its methods
from starnet.baselines import gp as _gp  # noqa: F401 - registers its methods
from starnet.baselines import grid as _grid  # noqa: F401 - registers its methods
from starnet.baselines import neighbours as _neighbours  # noqa: F401 - registers its methods
from starnet.baselines import payne as _payne  # noqa: F401 - registers its methods
from starnet.baselines import projection as _projection  # noqa: F401 - registers its methods
from starnet.baselines import widths as _widths  # noqa: F401 - registers its methods
from starnet.baselines.contract import METHODS, Fitted, Method, load_fitted

__all__ = ["METHODS", "Fitted", "Method", "load_fitted"]
