"""WEFT: what a step costs at its own size and at nano's, and what it saves to run chosen experts.

    .venv/bin/python tests/benchmarks/weft.py step
    .venv/bin/python tests/benchmarks/weft.py nano
    .venv/bin/python tests/benchmarks/weft.py experts

`step`: one training step of each reading at 512 x 512, batch 1, random weights, two threads, in a
process of its own: CPU seconds (of both threads; on a machine that is shared they vary less than
those that pass), seconds that passed, and the largest resident size. `nano`: the median of ten
steps of `weft_nano` at 128 x 128, batch 2, one thread, and of the other nano presets beside it.
`experts`: the pyramid alone, forward and backward, as chosen experts and as all of them, at 512 x
512, one thread.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

READINGS = ("weft_paper", "weft_as_coded", "weft_recommended")
NANOS = ("weft_nano", "imedsam_nano", "nano")


def step(reading: str) -> dict[str, float | str]:
    """Seconds and bytes of one step."""
    import torch

    from segcore import presets
    from segcore.classes import ClassSpec
    from segcore.testing import HALFWAY, noise

    torch.set_num_threads(2)
    torch.manual_seed(0)
    config = getattr(presets, reading)("nowhere", pretrained="random")
    classes = ClassSpec(("polyp",), exclusive=False)
    system = config.system.build(classes)
    config.method.adapt(system)
    optimizer = config.method.optimizer(system, config.optim)
    batch, size = noise(1, config.system.input_size, classes), config.system.input_size
    system.train()
    marks = [clocks()]
    prediction = system(batch, size, HALFWAY)
    marks.append(clocks())
    loss = system.loss(prediction, batch, HALFWAY)
    marks.append(clocks())
    loss.backward()
    marks.append(clocks())
    optimizer.step()
    marks.append(clocks())
    trained = sum(p.numel() for p in system.parameters() if p.requires_grad)
    row: dict[str, float | str] = {"reading": reading, "trained": trained}
    names = ("forward", "loss", "backward", "optimizer")
    for name, before, after in zip(names, marks, marks[1:], strict=False):
        row[f"{name} CPU s"] = round(after[0] - before[0], 2)
    row["CPU s"] = round(marks[-1][0] - marks[0][0], 2)
    row["passed s"] = round(marks[-1][1] - marks[0][1], 2)
    row["peak GB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return row


def clocks() -> tuple[float, float]:
    """CPU seconds of this process, and seconds that passed."""
    return time.process_time(), time.perf_counter()


def nano(preset: str) -> dict[str, float | str]:
    """Median CPU seconds of a step."""
    import torch

    from segcore import presets
    from segcore.classes import ClassSpec
    from segcore.testing import HALFWAY, noise

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = getattr(presets, preset)()
    classes = ClassSpec(("polyp",), exclusive=False)
    system = config.system.build(classes)
    config.method.adapt(system)
    optimizer = config.method.optimizer(system, config.optim)
    batch, size = noise(2, config.system.input_size, classes), config.system.input_size
    system.train()

    def once() -> None:
        optimizer.zero_grad()
        system.loss(system(batch, size, HALFWAY), batch, HALFWAY).backward()
        optimizer.step()

    return {"preset": preset, **timed(once)}


def experts(compute: str) -> dict[str, float | str]:
    """Median CPU seconds of the pyramid."""
    import dataclasses

    import torch

    from segcore import presets
    from segcore.systems.weft.experts import Pyramid

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config: Any = presets.weft_paper("nowhere", pretrained="random").system
    pyramid = Pyramid(dataclasses.replace(config.experts, compute=compute), 1024, "group")
    image = torch.rand(1, 3, 512, 512)

    def once() -> None:
        pyramid.zero_grad()
        scales, _ = pyramid(image)
        torch.stack([scale.sum() for scale in scales]).sum().backward()

    return {"compute": compute, **timed(once)}


def timed(once: Callable[[], None], times: int = 10) -> dict[str, float]:
    """The median, the fewest and the most CPU seconds of a function, after two calls of it."""
    spent = []
    for _ in range(times + 2):
        began = time.process_time()
        once()
        spent.append(time.process_time() - began)
    kept = spent[2:]
    return {
        "median CPU s": round(median(kept), 3),
        "least": round(min(kept), 3),
        "most": round(max(kept), 3),
    }


WHAT: dict[str, tuple[Callable[[str], dict[str, float | str]], tuple[str, ...]]] = {
    "step": (step, READINGS),
    "nano": (nano, NANOS),
    "experts": (experts, ("chosen", "all")),
}


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    measure, names = WHAT[args.what]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as alone:
        rows = alone.map(measure, names, chunksize=1)
    for row in rows:
        print(row)
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
