"""How long does the report of a large search take, how large is it, and how soon does it show?

Command: .venv/bin/python tests/benchmarks/report_scale.py [--trials 1000] [--evaluations 100]
Cost: two minutes and 300 MB in a temporary folder; `--storage DIR` keeps the tables for the next.

A search of that many trials with that many evaluations of three classes, written by the tables'
own writer, is read, built into a page and opened in headless Chromium. Aims, written down
beforehand for 1,000 x 100 on two CPU cores: at most 20 s to read and build, 15 MB, and 2 s from
opening the file to its first contentful paint.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

sys.path.insert(0, str(Path(__file__).parents[1]))  # support

from support.score_kinds import KINDS  # noqa: E402

NAME = "large_search"
CLASSES = ("ridge", "silhouette", "ligament", "macro", "pooled")
METRICS = {
    "dice": "per_image", "iou": "per_image", "assd": "per_class_px", "hd95": "max_of_directed",
}  # fmt: skip
STEPS_PER_EVALUATION = 10
SPACE = {
    "method.rank": IntDistribution(2, 128, log=True),
    "method.update_proj_gap": IntDistribution(5, 500, log=True),
    "method.lr": FloatDistribution(1e-5, 1e-2, log=True),
    "system.fusion.query": CategoricalDistribution(("depth", "rgb")),
    "system.fusion.heads": CategoricalDistribution((1, 2, 4)),
}
NOW = "performance.now()"
AIMS = {"build_s": 20.0, "megabytes": 15.0, "first_paint_s": 2.0}


def main() -> None:
    """Write what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--storage", type=Path, help="where the tables are, or are to be kept")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = args.storage or Path(folder)
        if not (storage / NAME).exists():
            write_study(storage, args.trials, args.evaluations)
        found = measure(storage, Path(folder) / "report.html")
    print(render(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


def write_study(storage: Path, trials: int, evaluations: int) -> None:
    """A random search whose rank and learning rate decide; one trial in twenty failed."""
    from segtune.results import study_file, tables

    study_file.write(storage, NAME, {
        "schema_version": 2, "study": NAME, "kind": "search",
        "question": "Does the report stay quick?", "baseline": {}, "num_samples": trials,
        "objectives": [{"metric": "dice", "direction": "maximize"},
                       {"metric": "assd", "direction": "minimize"}],
        "space": {f: distribution_to_json(d) for f, d in SPACE.items()},
    })  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(trials):
        key = {"trial_id": f"t{number}", "attempt": 1}
        changes = _draw(rng)
        best = (
            0.6
            + 0.02 * np.log2(changes["method.rank"])
            - 0.03 * abs(np.log10(changes["method.lr"]) + 3)
        )
        failed = number % 20 == 19
        done = evaluations // 2 if failed else evaluations
        begun = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        tables.write(storage, NAME, "trials", [{
            **key, "role": "search", "seed": number, "number": number,
            "status": "failed" if failed else "finished",
            "error": "RuntimeError: out of memory" if failed else None,
            "config": json.dumps({"data": {"name": "synthetic_liver"}}),
            "changes": json.dumps(changes), "git_commit": "0" * 40, "git_dirty": False,
            "versions": json.dumps({"torch": "2.15.0"}), "device": "cpu", "workers": 1,
            "data_hash": "d" * 40, "weights_hash": "w" * 40, "trainable_parameters": 10**6,
            "total_parameters": 10**7, "epochs": evaluations, "best_epoch": done,
            "started": begun, "ended": begun + timedelta(minutes=9),
        }])  # fmt: skip
        tables.write(storage, NAME, "scores", _scores(key, best, done, rng))
        tables.write(storage, NAME, "steps", _steps(key, changes["method.rank"], done, rng))


def _draw(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "method.rank": int(2 ** rng.uniform(1, 7)),
        "method.update_proj_gap": int(5 * 100 ** rng.uniform()),
        "method.lr": float(10 ** rng.uniform(-5, -2)),
        "system.fusion.query": ("depth", "rgb")[rng.integers(2)],
        "system.fusion.heads": (1, 2, 4)[rng.integers(3)],
    }


def _scores(
    key: Mapping[str, Any], best: float, evaluations: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    rows = []
    apart = abs(rng.normal(0, 0.05))  # of the distances alone, so that the front has many trials
    for epoch in range(1, evaluations + 1):
        dice = best * (1 - np.exp(-epoch / 15)) + rng.normal(0, 0.005)
        values = {"dice": dice, "iou": dice / (2 - dice)}
        far = 1 - dice + apart
        values |= {"assd": 30 * far, "hd95": 75 * far}
        rows += [
            {**key, "step": epoch * STEPS_PER_EVALUATION, "epoch": epoch, "split": "val",
             "resolution": "128x128", "class_name": c, "metric": m, "protocol": protocol,
             **KINDS[m],
             "value": float(values[m]), "n": 40}
            for c in CLASSES for m, protocol in METRICS.items()
        ]  # fmt: skip
    return rows


def _steps(
    key: Mapping[str, Any], rank: int, evaluations: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    return [
        {**key, "step": s, "epoch": 1 + (s - 1) // STEPS_PER_EVALUATION,
         "loss": float(np.exp(-s / 200) + rng.normal(0, 0.02)), "lr": 1e-3, "seconds_data": 0.01,
         "seconds_forward": 0.1, "seconds_backward": 0.2, "seconds_optimizer": 0.02,
         "seconds_refresh": 0.1 if s % 50 == 0 else 0.0, "images_per_second": 24.0,
         "weights_bytes": 4 * 10**7, "gradient_bytes": 4 * 10**6,
         "optimizer_state_bytes": 10**4 * rank, "peak_memory_bytes": 10**9 + 10**5 * rank}
        for s in range(1, evaluations * STEPS_PER_EVALUATION + 1)
    ]  # fmt: skip


def measure(storage: Path, out: Path) -> dict[str, Any]:
    """Seconds to read and to build, megabytes, seconds to the first paint."""
    from segtune.report import build
    from segtune.results import tables

    files = sorted((storage / NAME / "tables").glob("*/*.parquet"))
    started = time.perf_counter()
    rows = {t: len(tables.read(storage, NAME, t)) for t in tables.TABLES}
    read = time.perf_counter() - started
    started, cpu = time.perf_counter(), time.process_time()
    build(storage, [NAME], out)
    built, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "trials": rows["trials"],
        "score_rows": rows["scores"],
        "step_rows": rows["steps"],
        "files": len(files),
        "file_megabytes": sum(f.stat().st_size for f in files) / 1e6,
        "parquet_s": _parquet_seconds(files),
        "read_s": read,
        "build_s": built,
        "build_cpu_s": cpu,
        "megabytes": out.stat().st_size / 1e6,
        **asyncio.run(_shown(out)),
        "load_average": os.getloadavg()[0],
    }


async def _shown(page: Path) -> dict[str, float]:
    """Seconds to the first contentful paint, and until every figure is drawn."""
    from support.devtools import CHROMIUM, chromium

    if CHROMIUM is None:
        return {}
    async with chromium() as tab:
        await tab.open(page.as_uri())
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime || 0"
        await tab.until(paint)
        first = float(await tab.evaluate(paint))
        await tab.until("document.documentElement.dataset.drawn === 'all'", seconds=300)
        return {"first_paint_s": first / 1e3, "all_drawn_s": await tab.evaluate(NOW) / 1e3}


def _parquet_seconds(files: list[Path]) -> float:
    """What opening that many files costs by itself."""
    started = time.perf_counter()
    pa.concat_tables([pq.read_table(f, columns=["trial_id"]) for f in files])
    return time.perf_counter() - started


def render(found: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| what | measured | aim |", "|---|---|---|"]
    for name, value in found.items():
        shown = f"{value:.1f}" if isinstance(value, float) else f"{value}"
        aim = f"<= {AIMS[name]:g}" if name in AIMS else ""
        lines.append(f"| {name} | {shown} | {aim} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
