"""What the optimizer asks of a GPU: operators, waits and transfers, counted without one.

    PYTHONPATH=tests python tests/benchmarks/gpu/optimizer_counts.py [--json FILE]

The 148 trained parameters of the `paper` preset (96 attention weights of Hiera-L, 68.55 M, and the
head) on a device that is not there (`tests/support/fake_cuda`); half a minute on a CPU. Each method
is counted between two refreshes and at one; those that free gradients in the backward pass of a
microbatch as well. An operator on a list of tensors counts once. Not seen are the waits that torch
has inside an operator: an eigendecomposition's, one per shape of weights, for its error code.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from support.fake_cuda import Counts, fake_cuda
from torch import nn

from segcore.classes import ClassSpec
from segcore.methods.method import Method
from segcore.presets import paper_system
from segcore.training.schedule import OptimConfig
from srft_galore import GaLoreAdamW

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
GAP = 50
PAPER: dict[str, Any] = {"rank": 128, "side": "left", "update_proj_gap": GAP}
"""The published rank, side and interval."""
WARM: dict[str, Any] = {"start": "warm", "oversample": 8}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "srft": ("srft", {}),
    "srft, oversample 8, 1 power iteration": ("srft", {"oversample": 8, "power_iterations": 1}),
    "srft, warm, moments rotated": ("srft", {**WARM, "moments": "rotate"}),
    "gaussian": ("gaussian", {}),
    "svd": ("svd", {}),
    "srft_published": ("srft_published", {"sketch": "per_weight"}),
    "srft, gradients freed": ("srft", {"refresh_from": "previous"}),
    "srft, gradients freed, warm": ("srft", {"refresh_from": "previous", **WARM}),
}
"""Row of the table -> projector and other options of the projected group."""


@dataclass(frozen=True)
class Row:
    """Counts of one phase."""

    name: str
    phase: str
    calls: int
    waits: int
    copies: int


def shapes_of_paper() -> tuple[list[torch.Size], list[torch.Size]]:
    """Shapes of the attention weights and of the head's parameters."""
    with mock.patch("torch.nn.init.trunc_normal_", lambda tensor, *a, **k: tensor):
        system = paper_system(pretrained="random").build(LANDMARKS)
    method = Method.named("srft_galore", rank=128)
    method.adapt(system)
    optimizer = method.optimizer(system, OptimConfig())
    groups = optimizer.param_groups
    return (
        [p.shape for group in groups if "rank" in group for p in group["params"]],
        [p.shape for group in groups if "rank" not in group for p in group["params"]],
    )


def parameters(shapes: list[torch.Size]) -> list[nn.Parameter]:
    """On the device, with gradients."""
    made = [nn.Parameter(torch.empty(shape, device="cuda")) for shape in shapes]
    give_gradients(made)
    return made


def give_gradients(params: list[nn.Parameter]) -> None:
    """As a backward pass leaves them."""
    for parameter in params:
        parameter.grad = torch.empty_like(parameter)


def row(name: str, phase: str, counts: Counts) -> Row:
    """The sums of what was counted."""
    return Row(name, phase, counts.total, counts.waits.total(), counts.copies.total())


def projected(
    name: str, weights: list[torch.Size], head: list[torch.Size], projector: str, options: Any
) -> Iterator[Row]:
    """One optimizer's phases."""
    with fake_cuda() as cuda:
        ours, others = parameters(weights), parameters(head)
        group = {"params": ours, "projector": projector, **PAPER, **options}
        optimizer = GaLoreAdamW([group, {"params": others}], lr=5e-5)
        frees = options.get("refresh_from") == "previous"
        if frees:
            optimizer.attach(nn.ParameterList(ours))

        def backward() -> Counts:
            with cuda.counting() as counts:
                for parameter in reversed(ours):
                    parameter.grad = torch.empty_like(parameter)
                    if frees:
                        for hook in parameter._post_accumulate_grad_hooks.values():
                            hook(parameter)
            give_gradients(others)
            return counts

        def step() -> Counts:
            with cuda.counting() as counts:
                optimizer.step()
            return counts

        for _ in range(2):  # with freed gradients the second one has the first bases
            backward()
            step()
        hooks = backward()
        if frees:
            yield row(name, "microbatch", hooks)
        yield row(name, "step", step())
        optimizer.param_groups[0]["update_proj_gap"] = 1  # from now on a basis is always due
        if frees:
            yield row(name, "microbatch, basis due", backward())
            yield row(name, "second microbatch, basis due", backward())
            yield row(name, "step with bases", step())
        else:
            backward()
            with cuda.counting() as counts:
                optimizer.refresh()
            yield row(name, "refresh", counts)


def fused(weights: list[torch.Size], head: list[torch.Size]) -> Iterator[Row]:
    """torch's own AdamW."""
    with fake_cuda() as cuda:
        optimizer = torch.optim.AdamW(parameters(weights + head), lr=5e-5, fused=True)
        optimizer.step()
        with cuda.counting() as counts:
            optimizer.step()
        yield row("torch.optim.AdamW, fused", "step", counts)


def main() -> None:
    """Print one line per phase."""
    parser = argparse.ArgumentParser(description="Operators, waits and transfers of the optimizer.")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    args = parser.parse_args()
    weights, head = shapes_of_paper()
    rows = list(fused(weights, head))
    for name, (projector, options) in CASES.items():
        rows += projected(name, weights, head, projector, options)
    print(f"{len(weights)} projected and {len(head)} plain parameters")
    for one in rows:
        print(f"{one.name:40} {one.phase:30} {one.calls:5} {one.waits:4} {one.copies:4}")
    if args.json:
        args.json.write_text(json.dumps([vars(one) for one in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
