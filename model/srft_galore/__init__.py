"""AdamW on gradients projected to low rank, by SVD (GaLore) or by a random sketch (SRFT-GaLore)."""

from .basis.range_finder import range_finder
from .galore_adamw import GaLoreAdamW
from .groups.for_model import for_model
from .groups.options import RECOMMENDED
from .parallel.collectives import AllReduce, Broadcast
from .parallel.reducer import Reducer

__all__ = [
    "RECOMMENDED",
    "AllReduce",
    "Broadcast",
    "GaLoreAdamW",
    "Reducer",
    "for_model",
    "range_finder",
]
