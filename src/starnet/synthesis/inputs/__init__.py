"""The inputs of the physics on this machine: where they are, what they cover, what is missing.

The package holds no data of others. `PhysicsInputs.locate` finds the folder; ``starnet download
physics`` fills it.
"""

from starnet.synthesis.inputs.coverage import Coverage, RoleState, compilers, known_gaps
from starnet.synthesis.inputs.inputs import PhysicsInputs

__all__ = ["Coverage", "PhysicsInputs", "RoleState", "compilers", "known_gaps"]
