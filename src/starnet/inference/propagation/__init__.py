"""From errors of pixels to errors of labels, and what remains when they are taken out.

The first is what noise does to labels (`propagate`), the second what the network itself gets
wrong (`IntrinsicScatter`). They are kept apart, and `combine` adds them.
"""

from starnet.inference.propagation.noise import label_jacobian, propagate, propagated_covariance
from starnet.inference.propagation.scatter import IntrinsicScatter, combine

__all__ = [
    "IntrinsicScatter",
    "combine",
    "label_jacobian",
    "propagate",
    "propagated_covariance",
]
