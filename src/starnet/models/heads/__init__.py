"""Heads: from hidden features of a network to a distribution over its scaled labels."""

from starnet.models.heads.covariance import Covariance
from starnet.models.heads.distributions import (
    Components,
    components,
    distributes,
    distribution_of,
    equal_mixture,
    label_log_prob,
    moved,
    outputs_of,
)
from starnet.models.heads.flow import Flow
from starnet.models.heads.mixture import Mixture
from starnet.models.heads.normal import Normal
from starnet.models.heads.registry import Head, build_head, head_kinds, head_settings, register_head

__all__ = [
    "Components",
    "Covariance",
    "Flow",
    "Head",
    "Mixture",
    "Normal",
    "build_head",
    "components",
    "distributes",
    "distribution_of",
    "equal_mixture",
    "head_kinds",
    "head_settings",
    "label_log_prob",
    "moved",
    "outputs_of",
    "register_head",
]
