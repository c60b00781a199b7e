"""Layer-wise decay of the rate: the lower a transformer block, the less it moves.

The rule is BEiT's (Bao et al., arXiv 2106.08254): from block to block, downwards, one factor.
"""

from segcore.systems.system import System, transformer_blocks


def layer_factors(system: System, decay: float) -> dict[int, float]:
    """The factor of the rate of each pretrained parameter, by its `id`.

    Each encoder counts for itself: of n blocks, block i (from 0) has decay^(n - i), what stands
    before the first one (patches, positions) decay^(n + 1), and what stands behind the last one 1.
    An encoder without transformer blocks, such as a ResNet, keeps its rate.

    Args:
        system: adapted or not; an adapter goes with the block that it is in.
        decay: the factor from one block to the one below it.

    Raises:
        ValueError: no encoder has any.
    """
    factors: dict[int, float] = {}
    for encoder in system.pretrained().values():
        blocks = [*transformer_blocks(encoder)]
        layer = 0
        for path, parameter in encoder.named_parameters() if blocks else ():
            # In module order, which is that of the data: what is in no block follows the last one
            # that was passed.
            inside = [i for i, block in enumerate(blocks) if path.startswith(f"{block}.")]
            if inside:
                layer = inside[0] + 1
            elif layer:
                layer = len(blocks) + 1
            factors[id(parameter)] = decay ** (len(blocks) + 1 - layer)
    if not factors:
        raise ValueError(
            f"optim.layer_decay = {decay}: the system's pretrained encoders have no transformer "
            "blocks to tell layers by: set it to 1"
        )
    return factors
