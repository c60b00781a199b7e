"""The attention weights of SAM2.1's Hiera-L: 96 matrices, 68.55 M parameters."""

BLOCKS = (
    (2, 144, 144),
    (1, 144, 288),
    (5, 288, 288),
    (1, 288, 576),
    (35, 576, 576),
    (1, 576, 1152),
    (3, 1152, 1152),
)
"""Trunk blocks in order: how many, channels in, channels out. The first block of a stage widens."""


def attention_shapes(shrink: int = 1) -> dict[str, tuple[int, int]]:
    """(out, in) of every attention weight by its name in the trunk.

    Args:
        shrink: Divides every dimension, to try things out on small matrices.
    """
    widths = [(n_in, n_out) for count, n_in, n_out in BLOCKS for _ in range(count)]
    shapes = {}
    for block, (n_in, n_out) in enumerate(widths):
        shapes[f"blocks.{block}.attn.qkv"] = (3 * n_out // shrink, n_in // shrink)
        shapes[f"blocks.{block}.attn.proj"] = (n_out // shrink, n_out // shrink)
    return shapes
