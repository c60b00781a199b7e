"""How much each setting of a search matters."""

import json
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import distribution_to_json
from support.report_tables import SPACE, write_search
from support.report_values import found as findings_of
from support.score_kinds import KINDS

from segtune.report.evidence.search_results import SearchResults
from segtune.report.parts.searches.importance import MIN_TRIALS, importances
from segtune.results import study_file, tables


def search_of(storage: Path, study: str) -> SearchResults:
    search = findings_of(storage, study).search
    assert search is not None
    return search


def test_importance_needs_enough_trials(storage: Path, tmp_path: Path) -> None:
    found, why = importances(search_of(storage, "rank"))
    assert found == ()
    assert f"at least {MIN_TRIALS}" in why
    write_search(tmp_path, trials=MIN_TRIALS + 4)
    found, _ = importances(search_of(tmp_path, "rank"))
    assert [(i.metric, i.method, i.n) for i in found] == [
        (metric, method, MIN_TRIALS + 2)
        for metric in ("dice", "assd")
        for method in ("PED-ANOVA", "fANOVA")
    ]
    for importance in found[:2]:  # the rank decides Dice, and half of ASSD
        assert importance.shares[0][0] == "method.rank"
    for importance in found:
        assert sum(share for _, share in importance.shares) == pytest.approx(1)


def test_importance_explains_good_trials_whichever_way_is_good(tmp_path: Path) -> None:
    """PED-ANOVA asks what reaches low values: of Dice it must be handed the negative.

    The best trials share a rank and any rate, the worst share a rate and any rank: whoever asks
    about the wrong end finds the rate.
    """
    study_file.write(tmp_path, "x", {
        "schema_version": 2, "study": "x", "kind": "search", "num_samples": 60, "baseline": {},
        "objectives": [{"metric": "dice", "direction": "maximize"}],
        "space": {f: distribution_to_json(SPACE[f]) for f in ("method.rank", "method.lr")},
    })  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(60):
        rank, rate = int(rng.integers(2, 65)), float(10 ** rng.uniform(-5, -2))
        good, bad = rank > 48, rate > 10**-2.75
        value = (0.9 if good else 0.3 if bad else 0.6) + 0.001 * number / 60
        tables.write(tmp_path, "x", "trials", [{
            "trial_id": f"t{number}", "attempt": 1, "role": "search", "seed": 0, "number": number,
            "status": "finished", "best_epoch": 1, "config": "{}",
            "changes": json.dumps({"method.rank": rank, "method.lr": rate}),
        }])  # fmt: skip
        tables.write(tmp_path, "x", "scores", [{
            "trial_id": f"t{number}", "attempt": 1, "step": 1, "epoch": 1, "split": "val",
            "resolution": "96x96", "class_name": "macro", "metric": "dice",
            "protocol": "per_image", **KINDS["dice"],
            "value": value, "n": 4,
        }])  # fmt: skip
    (ped_anova, _), _ = importances(search_of(tmp_path, "x"))
    assert ped_anova.shares[0][0] == "method.rank"
