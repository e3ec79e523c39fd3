"""Networks: StarNet and its kin, known by name and rebuilt from their configuration."""

from starnet.models._fused import plain_operations
from starnet.models.amortised import Amortised, AmortisedConfig
from starnet.models.convnext import ConvNeXt, ConvNeXtConfig
from starnet.models.dropout import MonteCarloDropout
from starnet.models.ensemble import Ensemble, EnsembleConfig, gather
from starnet.models.headed import Headed, HeadedConfig
from starnet.models.heads import distribution_of, head_kinds
from starnet.models.kernel import Kernel, KernelConfig
from starnet.models.projection import Projection, ProjectionConfig
from starnet.models.quoted import Quoted, QuotedConfig
from starnet.models.reader import Reader, ReaderConfig
from starnet.models.registry import (
    build_network,
    config_from_dict,
    config_to_dict,
    families,
    register,
)
from starnet.models.resmlp import ResMLP, ResMLPConfig
from starnet.models.resnet import ResNet, ResNetConfig
from starnet.models.runtime import apply_network, keep_memory
from starnet.models.starnet import StarNet, StarNetConfig
from starnet.models.transformer import Transformer, TransformerConfig

__all__ = [
    "Amortised",
    "AmortisedConfig",
    "ConvNeXt",
    "ConvNeXtConfig",
    "Ensemble",
    "EnsembleConfig",
    "Headed",
    "HeadedConfig",
    "Kernel",
    "KernelConfig",
    "MonteCarloDropout",
    "Projection",
    "ProjectionConfig",
    "Quoted",
    "QuotedConfig",
    "Reader",
    "ReaderConfig",
    "ResMLP",
    "ResMLPConfig",
    "ResNet",
    "ResNetConfig",
    "StarNet",
    "StarNetConfig",
    "Transformer",
    "TransformerConfig",
    "apply_network",
    "build_network",
    "config_from_dict",
    "config_to_dict",
    "distribution_of",
    "families",
    "gather",
    "head_kinds",
    "keep_memory",
    "plain_operations",
    "register",
]
