"""A search's finalists, its best configurations trained anew and tested, as arms of an ablation."""

import functools
from dataclasses import replace

from segtune.report.search import read_search
from segtune.results.study_rows import StudyRows
from segtune.study.definition import CHOSEN

KIND = "finalists"


@functools.lru_cache(maxsize=2)
def finalists(rows: StudyRows) -> StudyRows | None:
    """The finalists' rows alone; an arm is a search trial's settings, `t5`.

    The search's first trial has the baseline's settings: where it is among the finalists, the
    others are compared with it. Arms stand in the order of the search. Finalists of before it was
    extended, which others have overtaken, are left out.

    Returns:
        None where no finalist was started.
    """
    trials = rows.trials[rows.trials["role"] == "finalist"]
    if (chosen := rows.definition.get(CHOSEN)) is not None:
        trials = trials[trials["number"].isin(chosen)]
    if trials.empty:
        return None
    numbers = {str(a): int(n) for a, n in zip(trials["arm"], trials["number"], strict=True)}
    ranked = [f"t{t.number}" for t in read_search(rows).best(len(rows.trials))]
    arms = [arm for arm in ranked if arm in numbers]
    arms += sorted(numbers.keys() - set(arms), key=numbers.__getitem__)
    baseline = next((arm for arm, number in numbers.items() if number == 0), None)
    ids = trials["trial_id"]
    return replace(
        rows,
        definition={
            "kind": KIND,
            "question": rows.definition.get("question"),
            "objectives": rows.definition.get("objectives"),
            "baseline_arm": baseline,
            "arms": {arm: {} for arm in arms},
            "seeds": rows.definition.get("finalist_seeds") or [],
            "searched": len(read_search(rows).trials),
        },
        trials=trials.assign(role="arm"),
        steps=rows.steps[rows.steps["trial_id"].isin(ids)],
        scores=rows.scores[rows.scores["trial_id"].isin(ids)],
        images=rows.images[rows.images["trial_id"].isin(ids)],
        pictures=rows.pictures[rows.pictures["trial_id"].isin(ids)],
        reported=(),
    )
