"""AdamW on gradients projected to low rank, by SVD (GaLore) or by a random sketch (SRFT-GaLore)."""

from .basis.range_finder import range_finder
from .galore_adamw import GaLoreAdamW
from .groups import RECOMMENDED
from .parallel import AllReduce, Broadcast
from .reducer import Reducer

__all__ = ["RECOMMENDED", "AllReduce", "Broadcast", "GaLoreAdamW", "Reducer", "range_finder"]
