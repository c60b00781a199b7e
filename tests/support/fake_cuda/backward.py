"""The backward pass of torch's engine, node by node, which wants a driver for tensors on CUDA."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def backward(self: Tensor, gradient: Tensor | None = None, **_: Any) -> None:
    """The backward pass of torch's engine, node by node: the same operators, on this thread."""
    root: Any = self.grad_fn
    assert root is not None
    waiting = _uses(root)
    begin = torch.ones_like(self) if gradient is None else gradient
    sums: dict[Any, list[Tensor | None]] = {root: [begin]}
    ready = [root]
    with torch.no_grad():
        while ready:
            node = ready.pop()
            given = sums.pop(node)
            if node.name().endswith("AccumulateGrad"):
                _accumulate(node.variable, given[0])
                continue
            made = _called(node, given)
            for (following, place), grad in zip(node.next_functions, made, strict=True):
                if following is None:
                    continue
                expected = following._input_metadata
                slots = sums.setdefault(following, [None] * len(expected))
                if grad is not None:
                    grad = _as_expected(grad, expected[place])
                    held = slots[place]
                    slots[place] = grad if held is None else held + grad
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)


def _uses(root: Any) -> Counter[Any]:
    """How many nodes hand a gradient to each node."""
    uses: Counter[Any] = Counter()
    left, seen = [root], {root}
    while left:
        for node, _ in left.pop().next_functions:
            if node is not None:
                uses[node] += 1
                if node not in seen:
                    seen.add(node)
                    left.append(node)
    return uses


def _called(node: Any, given: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    if all(grad is None for grad in given):
        return (None,) * len(node.next_functions)
    made = node.apply(*given) if hasattr(node, "apply") else node(*given)
    return made if isinstance(made, tuple) else (made,)


def _as_expected(grad: Tensor, expected: Any) -> Tensor:
    """The engine brings each gradient to the shape and dtype of what it is a gradient of."""
    if grad.shape != expected.shape:
        grad = grad.sum_to_size(expected.shape)
    return grad.to(expected.dtype)


def _accumulate(leaf: Tensor, gradient: Tensor | None) -> None:
    if gradient is None:
        return
    leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
    for hook in (getattr(leaf, "_post_accumulate_grad_hooks", None) or {}).values():
        hook(leaf)
