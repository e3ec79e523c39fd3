"""Where a network looks: maps, features and their lines, occlusion, and the cheating test."""

from starnet.explain.agreement import Agreement, agreement, optimal_weights, read_windows
from starnet.explain.features import Features, features_table, strongest_features
from starnet.explain.known import KnownLines
from starnet.explain.occlusion import Occlusion, occlusion
from starnet.explain.response import Response, changed, response, shared_labels
from starnet.explain.response import from_spectra as response_from
from starnet.explain.sensitivity import Maps, sensitivity

__all__ = [
    "Agreement",
    "Features",
    "KnownLines",
    "Maps",
    "Occlusion",
    "Response",
    "agreement",
    "changed",
    "features_table",
    "occlusion",
    "optimal_weights",
    "read_windows",
    "response",
    "response_from",
    "sensitivity",
    "shared_labels",
    "strongest_features",
]
