"""Other people's projected optimizers, as they are built to be compared with ours."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer


class Peer(NamedTuple):
    """An optimizer of another package."""

    module: str
    name: str
    options: Mapping[str, Any]
    """Of the projected group, beside rank, interval and a scale of one."""


PEERS: dict[str, Peer] = {
    "galore-torch": Peer("galore_torch", "GaLoreAdamW", {"proj_type": "std"}),
    "apollo-torch": Peer(
        "apollo_torch",
        "APOLLOAdamW",
        {"proj": "random", "proj_type": "std", "scale_type": "channel"},
    ),
    "pytorch_optimizer GaLore": Peer("pytorch_optimizer", "GaLore", {"projection_type": "std"}),
    "Fira": Peer("pytorch_optimizer", "Fira", {"projection_type": "std"}),
}
"""By the name in the tables."""


def build_peer(
    peer: str,
    projected: Sequence[nn.Parameter],
    plain: Sequence[nn.Parameter],
    rank: int,
    gap: int,
    **common: Any,
) -> Optimizer:
    """One of them, with a projected group and, if there are parameters for it, a plain one.

    Args:
        peer: Its name in `PEERS`.
        projected: Weights that are projected.
        plain: Other parameters.
        rank: Of the projection.
        gap: Steps between two refreshes.
        common: Of the optimizer: lr, weight_decay.

    Raises:
        ImportError: It is not installed.
    """
    module, name, options = PEERS[peer]
    told = {"rank": rank, "update_proj_gap": gap, "scale": 1.0, **options}
    groups = [{"params": list(projected), **told}, *([{"params": list(plain)}] if plain else [])]
    built: Optimizer = getattr(importlib.import_module(module), name)(groups, **common)
    return built
