"""A search's finalists, its best configurations trained anew and tested, as arms of an ablation."""

from dataclasses import replace

from segtune.report.evidence.search_results import SearchResults
from segtune.results.study_scores import StudyScores, derive
from segtune.study.definition import CHOSEN, MARGIN, MARGIN_BEFORE, SEQUENTIAL

KIND = "finalists"
_KEPT = (MARGIN, MARGIN_BEFORE, SEQUENTIAL)


def finalists(study: StudyScores, search: SearchResults) -> StudyScores | None:
    """The finalists alone, as a study whose arms are named after search trials: `t5`.

    The search's first trial has the baseline's settings: where it is among the finalists, the
    others are compared with it. Arms are ordered as the search ranks them. Where a search was
    extended and other trials became its best, the finalists of before are left out.

    Returns:
        None where no finalist was started.
    """
    rows = study.rows
    trials = rows.trials[rows.trials["role"] == "finalist"]
    if (chosen := rows.definition.get(CHOSEN)) is not None:
        trials = trials[trials["number"].isin(chosen)]
    if trials.empty:
        return None
    numbers = {str(a): int(n) for a, n in zip(trials["arm"], trials["number"], strict=True)}
    ranked = [f"t{t.number}" for t in search.best(len(rows.trials))]
    arms = [arm for arm in ranked if arm in numbers]
    arms += sorted(numbers.keys() - set(arms), key=numbers.__getitem__)
    baseline = next((arm for arm, number in numbers.items() if number == 0), None)
    ids = trials["trial_id"]
    own = replace(
        rows,
        definition={
            "kind": KIND,
            "question": rows.definition.get("question"),
            **rows.scoring,
            "baseline_arm": baseline,
            **{k: v for k, v in rows.definition.items() if k in _KEPT},
            "arms": {arm: {} for arm in arms},
            "seeds": rows.definition.get("finalist_seeds") or [],
            "searched": len(search.trials),
        },
        trials=trials.assign(role="arm"),
        steps=rows.steps[rows.steps["trial_id"].isin(ids)],
        scores=rows.scores[rows.scores["trial_id"].isin(ids)],
        images=rows.images[rows.images["trial_id"].isin(ids)],
        pictures=rows.pictures[rows.pictures["trial_id"].isin(ids)],
        reported=(),
    )
    return derive(own)
