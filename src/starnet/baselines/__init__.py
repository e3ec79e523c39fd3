"""Methods that StarNet is held against, behind one contract: fit, predict, errors, save."""

from starnet.baselines import cannon as _cannon  # noqa: F401 - registers its methods
from starnet.baselines.contract import METHODS, Fitted, Method, load_fitted

__all__ = ["METHODS", "Fitted", "Method", "load_fitted"]
