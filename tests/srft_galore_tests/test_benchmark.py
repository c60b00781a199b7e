"""The optimizer benchmark: its weights are the real ones, its figures mean what they say."""

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.optimizer import noise
from benchmarks.optimizer.gradients import disturbed, find_captured, with_spectrum
from benchmarks.optimizer.optimizers import OPTIMIZERS, formula_bytes, held_bytes
from benchmarks.optimizer.refresh import METHODS, captured
from benchmarks.optimizer.shapes import attention_shapes
from benchmarks.optimizer.timing import Clock, Machine
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

ROOT = Path(__file__).parents[2]
TINY = ["--shrink", "36", "--ranks", "2", "--refresh-ranks", "2", "--gap", "2"]
TINY += ["--cycles", "1", "--repeats", "1"]
ALONE = """
import runpy, sys
for name in ("segcore", "safetensors", "sam2", "transformers", "galore_torch", "numpy"):
    sys.modules[name] = None  # importing it is an ImportError
runpy.run_module("tests.benchmarks.optimizer", run_name="__main__")
"""


def run_alone(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The benchmark in a process that has torch and srft_galore, and nothing else."""
    command = [sys.executable, "-W", "ignore", "-c", ALONE, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_shapes_are_those_of_sam2() -> None:
    path = resources.files("sam2") / "configs" / "sam2.1" / "sam2.1_hiera_l.yaml"
    with path.open() as file:
        node = OmegaConf.load(file).model.image_encoder.trunk
    trunk = instantiate(node)
    found = {
        name: tuple(module.weight.shape)
        for name, module in trunk.named_modules()
        if isinstance(module, nn.Linear) and ".attn." in name
    }
    assert attention_shapes() == found
    assert sum(m * n for m, n in attention_shapes().values()) == 68_553_216


@pytest.mark.slow
def test_measures_with_torch_alone(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    arguments = [*TINY, "--sections", "refresh", "step", "--json", str(out)]
    done = run_alone(["measure", *arguments])
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(out.read_text())
    rows = [row for row in figures["refresh"] if row["gradient"] == "j^-1"]
    assert {row["method"] for row in rows} > set(METHODS)
    energy = {row["method"]: row["energy"] for row in rows}
    assert energy["torch.linalg.svd"] == pytest.approx(1, abs=1e-5)
    assert 0.2 < energy["srft"] < energy["srft +p +1 power"] <= 1 + 1e-5
    speed = {row["optimizer"]: row for row in figures["step"]}
    assert set(speed) >= set(OPTIMIZERS)
    assert "not installed" in speed["galore-torch"]["note"]
    assert speed["srft"]["ms"] > 0
    state = {row["optimizer"]: row for row in figures["state"]}
    assert state["AdamW, fused"]["formula MB"] > state["srft"]["formula MB"]


@pytest.mark.slow
def test_two_ranks_and_peak_memory(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    arguments = [*TINY, "--shrink", "4", "--sections", "wire", "peak", "--json", str(out)]
    done = run_alone(["measure", *arguments])
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert figures["wire"][0]["dense / sent"] > 4
    peaks = {row["optimizer"]: row["peak MB beyond the weights"] for row in figures["peak"]}
    assert peaks["AdamW, foreach"] > peaks["AdamW, fused"] > peaks["srft"] > peaks["released"]
    assert peaks["plain"] > peaks["warm +8, staggered"] > peaks["released"]


def test_steps_on_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW sees 8 of 128 directions; a new basis makes its step larger with rotated moments."""
    monkeypatch.setattr(noise, "STEPS", 40)
    monkeypatch.setattr(noise, "SEEDS", 1)
    found = {(r["moments"], r["interval"]): r["RMS / lr"] for r in noise.measure_noise()}
    whole = found["", None]
    assert found["keep", 20] == pytest.approx(whole * (8 / 128) ** 0.5, rel=0.05)
    assert found["keep", 1] == pytest.approx(found["keep", 20], rel=0.05)
    assert found["keep", 20] < found["rotate", 20] < found["rotate", 5] < found["rotate", 1]


def test_gradients_that_are_not_there_are_said(tmp_path: Path) -> None:
    done = run_alone(["measure", *TINY, "--gradients", str(tmp_path)])
    assert done.returncode == 2
    assert f"no gradients in {tmp_path}" in done.stderr


def test_last_gradient_and_those_before_it(tmp_path: Path) -> None:
    for step in (0, 39, 40, 58, 59, 60):
        (tmp_path / f"nano-{step}.safetensors").touch()
    (tmp_path / "hiera_l_512-0.safetensors").touch()
    hiera, nano = find_captured(tmp_path)
    assert (hiera.name, hiera.last, hiera.earlier()) == ("hiera_l_512", 0, [])
    assert (nano.last, nano.earlier()) == (60, [59, 40])


def test_views_are_counted_with_all_they_hold() -> None:
    class Projector:
        def __init__(self, factor: torch.Tensor) -> None:
            self.basis = factor[:, :4]

    weight = nn.Parameter(torch.zeros(64, 32))
    optimizer = torch.optim.AdamW([weight])
    moments = torch.zeros(64, 4), torch.zeros(64, 4)
    optimizer.state[weight] = {"projector": Projector(torch.zeros(32, 32)), "moments": moments}
    assert held_bytes(optimizer) == 4 * (32 * 32 + 2 * 64 * 4)
    assert formula_bytes("galore-torch", [weight], 4, 4) == 4 * (32 * 4 + 2 * 64 * 4)
    assert formula_bytes("AdamW, fused", [weight], 4, 4) == 4 * 2 * 64 * 32


def test_energy_is_relative_to_the_best_basis() -> None:
    G = with_spectrum(40, 30, 1.0)
    S, Vh = torch.linalg.svd(G)[1:]
    best = S[:3].double().square().sum()
    assert captured(G, Vh[:3].mT, best) == pytest.approx(1, abs=1e-5)
    assert captured(G, Vh[1:4].mT, best) == pytest.approx(
        (1 / 4 + 1 / 9 + 1 / 16) / (1 + 1 / 4 + 1 / 9), abs=1e-5
    )
    off = torch.linalg.vector_norm(disturbed(G, 0.3) - G) / torch.linalg.vector_norm(G)
    assert off == pytest.approx(0.3, abs=1e-5)


def test_runs_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    times = Clock(torch.device("cpu")).interleaved(runs, 2)
    assert order == ["a", "b"] * 3
    assert {name: len(took) for name, took in times.items()} == {"a": 2, "b": 2}


def test_bound_takes_the_scarcer_of_arithmetic_and_traffic() -> None:
    shapes = [(1000, 500)]
    slow_memory = Machine(gemm_gflops=1e9, read_gbs=1.0, update_gbs=2.0)
    assert slow_memory.step_bound(shapes, 4, 4) == pytest.approx(2e6 / 1e9 + 4e6 / 2e9)
    slow_cores = Machine(gemm_gflops=1.0, read_gbs=1e9, update_gbs=1e9)
    assert slow_cores.step_bound(shapes, 4, 4) == pytest.approx(2 * 2 * 1000 * 500 * 4 / 1e9)
