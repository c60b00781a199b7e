"""The figures of a finished study as one small JSON file, for `results/`.

    segtune run same_targets_nano --storage DIR
    .venv/bin/python tests/benchmarks/study_figures.py same_targets_nano --storage DIR --json FILE

Scores on test (macro and pooled, by seed), the rates that were tuned on val, differences to the
baseline with what the report says of them, and costs; each mean over seeds.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segtune.report.summarize import findings
from segtune.results import read
from segtune.results.study_rows import load
from segtune.results.study_scores import derive


def figures(storage: str, study: str) -> dict[str, Any]:
    """Everything that the file has.

    Args:
        storage: the folder that holds the studies.
        study: the name that it was run under.
    """
    found = findings(derive(load(storage, study)))
    trials = {t["trial_id"]: t for t in read(storage, study, "trials").to_pylist()}
    return {
        "study": study,
        "commits": sorted({f"{t['git_commit'][:7]}" for t in trials.values() if t["git_commit"]}),
        "trials": dict(found.summary.trials),
        "answer": list(found.summary.answer),
        "tuned": {
            t["arm"]: json.loads(t["changes"]) for t in trials.values() if t["role"] == "arm"
        },
        "scores": [*_scores(storage, study, trials)],
        "differences": [
            {
                "arm": d.arm,
                "metric": c.measure.metric,
                "protocol": c.measure.protocol,
                "mean": _rounded(d.shown.mean),
                "interval": [_rounded(d.shown.low), _rounded(d.shown.high)],
                "p_holm": _rounded(d.p_holm),
                "verdict": d.verdict.text,
            }
            for c in found.summary.comparisons
            for d in c.differences
        ],
        "costs": [
            {"arm": c.name, **{key: _rounded(e.mean) for key, e in c.values.items()}}
            for c in found.tested_costs.arms
        ],
    }


def _scores(storage: str, study: str, trials: Any) -> Iterator[dict[str, Any]]:
    for s in read(storage, study, "scores").to_pylist():
        trial = trials[s["trial_id"]]
        if s["split"] == "test" and s["class_name"] in ("macro", "pooled"):
            same = {key: s[key] for key in ("resolution", "class_name", "metric", "protocol")}
            yield {
                "arm": trial["arm"],
                "seed": trial["seed"],
                **same,
                "value": _rounded(s["value"]),
            }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def main() -> None:
    """Print the answer; write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("study")
    parser.add_argument("--storage", required=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = figures(args.storage, args.study)
    print(*found["answer"], sep="\n")
    if args.json:
        lines = ",\n".join(
            f"{json.dumps(key)}: "
            + (
                "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"
                if isinstance(value, list)
                else json.dumps(value)
            )
            for key, value in found.items()
        )
        args.json.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
