"""The command line: `capture`, `measure` and `quality`."""

import argparse
import json
import math
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from . import __doc__ as about
from .gradients import find_captured
from .noise import measure_noise
from .optimizers import OPTIMIZERS
from .peak import measure_peaks
from .quality.tasks import QUICK, TASKS
from .refresh import energy_over_weights, one_matrix, time_refresh
from .shapes import attention_shapes
from .steps import gradient_sets, time_refreshes, time_steps
from .timing import Clock, rate_machine
from .wire import measure_wire

SECTIONS = ("step", "refresh", "energy", "wire", "peak", "noise")
Rows = list[dict[str, Any]]


def show(title: str, rows: Rows) -> None:
    """Print a table; columns are the rows' keys in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    print(f"\n## {title}\n")
    for line in (columns, ["-" * width for width in widths], *cells):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
    sys.stdout.flush()


def _text(value: object) -> str:
    if isinstance(value, float):
        return (
            f"{value:.4f}" if abs(value) < 2 else f"{value:.2f}" if value < 100 else f"{value:.0f}"
        )
    return "" if value is None else str(value)


def measure(chosen: argparse.Namespace) -> None:
    """Run the sections asked for and print each as it is done."""
    torch.set_num_threads(chosen.threads)
    device, dtype = torch.device(chosen.device), getattr(torch, chosen.dtype)
    captured = find_captured(chosen.gradients)
    clock, small = Clock(device), chosen.shrink > 1
    shapes = list(attention_shapes(chosen.shrink).values())
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "device": processor,
        "threads": chosen.threads,
        "dtype": chosen.dtype,
        "clock": clock.name,
        "weights": {"matrices": len(shapes), "parameters": sum(m * n for m, n in shapes)},
        "gap": chosen.gap,
    }
    print(", ".join(f"{key}: {value}" for key, value in result.items()))

    def keep(name: str, title: str, rows: Rows) -> None:
        result[name] = [*result.get(name, ()), *rows]
        show(title, rows)
        if chosen.json:
            chosen.json.write_text(json.dumps(result, indent=1) + "\n")

    size = 64 if small else 8192 if device.type == "cuda" else 2048
    machine = rate_machine(clock, device, dtype, size=size)
    keep("machine", "This machine", machine.rows())
    if "step" in chosen.sections:
        source, gradients = gradient_sets(shapes, captured, device, dtype)
        result["step_gradients"] = source
        for rank in chosen.ranks:
            options = {"rank": rank, "gap": chosen.gap, "cycles": chosen.cycles}
            machine = rate_machine(clock, device, dtype, size=size)  # as busy as it is now
            speed, state = time_steps(gradients, machine, clock, only=chosen.optimizers, **options)
            keep("step", f"Whole step, gradients: {source}", speed)
            keep("state", "Bytes of state", state)
            rows = time_refreshes(gradients, clock, rank=rank, repeats=chosen.repeats)
            keep("refresh_all", "A new basis for every weight at once", rows)
    if "refresh" in chosen.sections:
        cases = one_matrix(shapes[-2], captured, device)
        rows = time_refresh(cases, tuple(chosen.refresh_ranks), clock, chosen.repeats)
        keep("refresh", "Refresh of one basis (least of the repeats; energy: mean of 3)", rows)
    if "energy" in chosen.sections:
        rows = [row for c in captured for row in energy_over_weights(c, (4, 32), device)]
        if rows:
            keep("energy", "Energy caught, over all weights", rows)
    if "wire" in chosen.sections:
        rows = measure_wire(chosen.ranks[-1], chosen.gap, chosen.shrink)
        keep("wire", "Data parallel: tensors summed over two ranks", rows)
    if "peak" in chosen.sections:
        rows = [
            row
            for rank in chosen.ranks
            for row in measure_peaks(rank, chosen.gap, chosen.shrink, device, dtype)
        ]
        keep("peak", "Peak memory of training steps of these weights alone", rows)
    if "noise" in chosen.sections:
        keep("noise", "Size of a step where gradients are noise", measure_noise())


def capture(chosen: argparse.Namespace) -> None:
    """Save real gradients."""
    from .capture import capture as run  # needs segcore

    run(
        chosen.out,
        chosen.preset,
        at=chosen.at,
        images=chosen.images,
        image_size=chosen.image_size,
        checkpoint=chosen.checkpoint,
        lr=chosen.lr,
    )


def quality(chosen: argparse.Namespace) -> None:
    """Do the trainings that the file lacks, then print what it holds."""
    from .quality.arms import missing_arms
    from .quality.plan import cells
    from .quality.runs import read, run_all

    missing = missing_arms()
    print(*(f"{name}: {why}" for name, why in missing.items()), sep="\n")
    wanted = [c for c in cells(chosen.tasks, chosen.ranks) if c.arm not in missing]
    if chosen.arms:
        wanted = [cell for cell in wanted if cell.arm in chosen.arms]
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    run_all(chosen.file, wanted, seeds=seeds, workers=chosen.workers, minutes=chosen.minutes)
    if chosen.tables:
        from .quality.tables import difference_rows, questions, score_rows  # need segtune

        scores, alike = read(chosen.file), (chosen.tasks, chosen.ranks, seeds)
        for rank in chosen.ranks:
            rows = score_rows(scores, chosen.tasks, rank, seeds)
            show(f"Scores at rank {rank}: mean, 95 % interval, tuned rate", rows)
        for question in questions():
            if rows := difference_rows(question, scores, *alike):
                show(question.title, rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="optimizer", description=about, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("measure", help="print the tables")
    one.set_defaults(run=measure)
    one.add_argument("--gradients", type=Path, help="folder that capture wrote")
    one.add_argument("--json", type=Path, help="also write the rows to this file")
    one.add_argument("--device", default="cpu")
    one.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    one.add_argument("--optimizers", nargs="+", choices=tuple(OPTIMIZERS), default=())
    one.add_argument("--ranks", nargs="+", type=int, default=[4, 32], help="of whole steps")
    one.add_argument("--refresh-ranks", nargs="+", type=int, default=[4, 32, 128])
    one.add_argument("--gap", type=int, default=20, help="steps between refreshes")
    one.add_argument("--cycles", type=int, default=3, help="intervals of steps that are timed")
    one.add_argument("--repeats", type=int, default=5, help="of a refresh")
    one.add_argument("--shrink", type=int, default=1, help="divide all dimensions, to try it out")
    two = commands.add_parser("capture", help="save real gradients")
    two.set_defaults(run=capture)
    two.add_argument("--out", type=Path, required=True, help="folder for the files")
    two.add_argument("--preset", choices=("hiera_l", "nano"), default="hiera_l")
    two.add_argument("--at", nargs="+", type=int, default=[0, 1, 2], help="steps to save")
    two.add_argument("--images", type=int, default=1, help="per step")
    two.add_argument("--image-size", type=int)
    two.add_argument("--checkpoint", help="Meta's sam2.1_hiera_large.pt")
    two.add_argument("--lr", type=float, default=5e-5)
    three = commands.add_parser("quality", help="train small models, each arm at its best rate")
    three.set_defaults(run=quality)
    three.add_argument(
        "--file", type=Path, required=True, help="of JSON lines; runs in it are kept"
    )
    three.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    three.add_argument("--minutes", type=float, default=math.inf, help="begin no run after that")
    three.add_argument("--seeds", type=int, default=5, help="that judge, beside two that tune")
    three.add_argument("--first-seed", type=int, default=0, help="of those that judge, below 100")
    three.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=QUICK)
    three.add_argument("--arms", nargs="+", default=(), help="the others are left out")
    three.add_argument("--ranks", nargs="+", type=int, default=[8, 2, 32], help="in this order")
    three.add_argument("--tables", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(arguments)


def main() -> None:
    """Parse, run; what is wrong with the arguments ends with exit code 2."""
    chosen = parse(None)
    try:
        chosen.run(chosen)
    except ValueError as error:
        print(f"optimizer: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
