"""AdamW on gradients projected to low rank, by SVD (GaLore) or by a random sketch (SRFT-GaLore)."""

from .galore_adamw import GaLoreAdamW
from .parallel import AllReduce, Broadcast
from .range_finder import range_finder

__all__ = ["AllReduce", "Broadcast", "GaLoreAdamW", "range_finder"]
