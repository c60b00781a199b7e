"""Studies of fine-tuning: what to run, the running of it on Ray, its tables and its report.

What a study's file needs is exported here; none of it imports torch or Ray.

cli         The command line: a table of commands, each a module of `segtune.commands`.
__main__    `python -m segtune` is `segtune`.
completion  Shell completion: commands, options and studies.
as_json     What commands print with `--json`.
extras      What not every installation has, and how to install it.
commands/   The commands: one module each.
study/      What a study is, and every mistake in it.
search/     Optuna: what to try next, and what became of it.
execution/  Ray: run what is left of a study; the loop of one worker.
results/    The tables on disk, and what is read back from them.
observers/  What watches a study run: console, TensorBoard, Prometheus, links.
jobs/       A study as a job of a cluster.
doctor/     Whether a machine has what a study needs.
report/     Tables in, one HTML file out.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtune.study.arms import factor, factorial
    from segtune.study.overrides import apply
    from segtune.study.sequential import Sequential
    from segtune.study.space import When
    from segtune.study.spec import Ablation, AtLeast, AtMost, Objective, Reported, Search
    from segtune.study.stopping import Asha, MedianStopping

_EXPORTED = {
    "Ablation": "segtune.study.spec",
    "Asha": "segtune.study.stopping",
    "AtLeast": "segtune.study.spec",
    "AtMost": "segtune.study.spec",
    "MedianStopping": "segtune.study.stopping",
    "Objective": "segtune.study.spec",
    "Reported": "segtune.study.spec",
    "Search": "segtune.study.spec",
    "Sequential": "segtune.study.sequential",
    "When": "segtune.study.space",
    "apply": "segtune.study.overrides",
    "factor": "segtune.study.arms",
    "factorial": "segtune.study.arms",
}

__all__ = [
    "Ablation",
    "Asha",
    "AtLeast",
    "AtMost",
    "MedianStopping",
    "Objective",
    "Reported",
    "Search",
    "Sequential",
    "When",
    "apply",
    "factor",
    "factorial",
]


def __getattr__(name: str) -> Any:
    """Import an exported name when it is first asked for, so that `segtune --help` is quick."""
    if name not in _EXPORTED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTED[name]), name)
