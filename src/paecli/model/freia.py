"""The parts of FrEIA that the flows are made of.

FrEIA imports scipy.stats for a kind of block that no flow here uses; that takes half as long as
importing torch.
"""

from paecli.system.deferred_import import deferred_import

with deferred_import("scipy.stats", "special_ortho_group"):
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import (
        GLOWCouplingBlock,
        InvertibleModule,
        NICECouplingBlock,
        RNVPCouplingBlock,
    )

__all__ = [
    "GLOWCouplingBlock",
    "InvertibleModule",
    "NICECouplingBlock",
    "RNVPCouplingBlock",
    "SequenceINN",
]
