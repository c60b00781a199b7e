"""The examples run: others' trainers and torch's own data parallelism with GaLoreAdamW."""

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "model" / "srft_galore" / "examples"
ONE_PROCESS = {
    "hugging_face.py": ("transformers", "accelerate"),
    "lightning_module.py": ("pytorch_lightning",),
    "accelerate_loop.py": ("accelerate",),
}
"""Example -> what it needs beside torch."""
TWO_PROCESSES = ("ddp.py", "fsdp2.py")
TORCH_ALONE = "swa.py"


def losses(*command: str) -> list[tuple[float, float]]:
    """What each process that ran an example printed: the loss at the beginning and at the end."""
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=FOLDER.parents[1]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"the end: ([\d.]+) ([\d.]+)", done.stdout)
    return [(float(first), float(last)) for first, last in found]


def test_every_example_is_here() -> None:
    assert {f.name for f in FOLDER.glob("*.py")} == {*ONE_PROCESS, *TWO_PROCESSES, TORCH_ALONE}


def test_averaged_weights() -> None:
    first, last = runpy.run_path(str(FOLDER / TORCH_ALONE))["main"]()
    assert last < first / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_PROCESS)
def test_others_trainers(name: str) -> None:
    for module in ONE_PROCESS[name]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    ((first, last),) = losses(str(FOLDER / name))
    assert last < first / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO_PROCESSES)
def test_two_processes(name: str) -> None:
    """They hold the same bits, or the example ends with an error; and train as one does.

    The mean loss of two ranks, whose shares are of one size, is that of one with all data.
    """
    run = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
    two = losses(*run, "2", str(FOLDER / name))
    assert len(two) == 2
    assert all(last < first / 2 for first, last in two)
    ((first, last),) = losses(*run, "1", str(FOLDER / name))
    assert sum(start for start, _ in two) / 2 == pytest.approx(first, abs=2e-3)
    assert sum(end for _, end in two) / 2 == pytest.approx(last, abs=2e-3)
