"""What a refresh of the basis costs and catches: SVD against random sketches.

    python tests/benchmarks/refresh.py [--threads 1] [--repeats 5] [--device cpu] [--json FILE]

Matrices have random singular vectors and singular values 1 / j, in float32. Every cell of one
matrix is timed in the same run; times are the best of the repeats, energies the mean over their
seeds: ||Q^T G||^2 over that of the best basis of the same rank. Compare ratios, not machines.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srft_galore import range_finder

SHAPES = ((576, 1728), (1728, 576), (1152, 3456))
"""(M, N), M being projected: Hiera-L's qkv weights of stages 3 (both sides) and 4 (its shorter)."""
RANKS = (4, 32, 128)
METHODS: dict[str, dict[str, Any]] = {
    "svd": {"projector": "svd"},
    "gaussian": {"projector": "gaussian"},
    "srft": {"projector": "srft"},
    "gaussian +1 power": {"projector": "gaussian", "power_iterations": 1},
    "srft +1 power": {"projector": "srft", "power_iterations": 1},
    "srft +20 cols": {"projector": "srft", "oversample": 20},
    "srft +20 cols +1 power": {"projector": "srft", "oversample": 20, "power_iterations": 1},
}


def matrix(m: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A matrix (M, N) and its singular values."""
    generator = torch.Generator().manual_seed(0)
    k = min(m, n)
    U = torch.linalg.qr(torch.randn(m, k, generator=generator)).Q
    V = torch.linalg.qr(torch.randn(n, k, generator=generator)).Q
    spectrum = torch.arange(1, k + 1, dtype=torch.float64).reciprocal()
    return ((U * spectrum.float()) @ V.mT).to(device), spectrum


def seconds(run: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """Wall time of one call and what it returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, result


def measure(shape: tuple[int, int], rank: int, repeats: int, device: torch.device) -> list[Any]:
    """One row per method: milliseconds, energy, and how many times faster than the SVD."""
    G, spectrum = matrix(*shape, device)
    best = float(spectrum[:rank].square().sum())
    rows: list[dict[str, Any]] = []
    for name, options in METHODS.items():
        times, energies = [], []
        range_finder(G, rank, **options)  # the first call also loads libraries
        for seed in range(repeats):
            took, Q = seconds(partial(range_finder, G, rank, seed=seed, **options), device)
            times.append(took)
            energies.append(float((Q.mT @ G).double().square().sum()) / best)
        row = {"shape": shape, "rank": rank, "method": name}
        row |= {"ms": 1e3 * min(times), "energy": sum(energies) / repeats}
        rows.append(row | {"times_faster_than_svd": rows[0]["ms"] / row["ms"] if rows else 1.0})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    rows = []
    print(f"{'shape':>11} {'rank':>4}  {'method':<24}{'ms':>9}{'energy':>8}{'x SVD':>8}")
    for shape in SHAPES:
        for rank in RANKS:
            for row in measure(shape, rank, arguments.repeats, arguments.device):
                rows.append(row)
                print(
                    f"{shape[0]:>6}x{shape[1]:<4} {rank:>4}  {row['method']:<24}{row['ms']:>9.2f}"
                    f"{row['energy']:>8.3f}{row['times_faster_than_svd']:>8.1f}",
                    flush=True,
                )
    if arguments.json:
        name = platform.processor() or platform.machine()
        if arguments.device.type == "cuda":
            name = torch.cuda.get_device_name(arguments.device)
        about = {"torch": torch.__version__, "device": name, "threads": arguments.threads}
        arguments.json.write_text(json.dumps({**about, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
