"""What may be done to the transformer blocks of pretrained encoders: activations that are computed
again in place of being kept (gradient checkpointing), and compilation."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from segcore.systems.system import System, transformer_blocks


def recompute_blocks(system: System) -> int:
    """Let the transformer blocks of pretrained encoders keep what goes into them, and no more.

    Called once, after the method has put its adapters in.

    Args:
        system: changed in place; the names of its tensors stay as they are.

    Returns:
        How many blocks there are.

    Raises:
        ValueError: there is none.
    """
    blocks = _blocks(system, "gradient_checkpointing")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)


def compile_blocks(system: System) -> int:
    """Let torch.compile make kernels of each transformer block of pretrained encoders, when it is
    first called. Called once, after `recompute_blocks`.

    Args:
        system: changed in place; the names of its tensors stay as they are.

    Returns:
        How many blocks there are.

    Raises:
        ValueError: there is none.
    """
    blocks = _blocks(system, "compile_blocks")
    for block in blocks:
        block.compile()
    return len(blocks)


def _blocks(system: System, field: str) -> list[nn.Module]:
    blocks = [b for e in system.pretrained().values() for b in transformer_blocks(e).values()]
    if not blocks:
        raise ValueError(
            f"{field}: the system's pretrained encoders have no transformer blocks: leave it off"
        )
    return blocks
