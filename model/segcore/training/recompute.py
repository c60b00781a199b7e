"""Gradient checkpointing: activations that are computed again in place of being kept."""

from functools import partial

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
    blocks = [b for e in system.pretrained().values() for b in transformer_blocks(e).values()]
    if not blocks:
        raise ValueError(
            "gradient_checkpointing: the system's pretrained encoders have no transformer blocks: "
            "leave it off"
        )
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)
