"""How often a verdict is wrong, and how often it finds what is there: simulated studies.

    .venv/bin/python tests/benchmarks/verdicts.py --json tests/benchmarks/results/verdicts.json

One arm beside a baseline, margin 0.01, through the report's own tests (`crossed`, `judge`). The
same studies are judged with a true difference of minus the margin (where "as good" and "no worse"
are false), of 0 (where "better" and "worse" are) and of 0.02. Noise of an image: sd 0.01 in each
arm, three images of each patient. A last block has four arms at minus the margin: how often any of
them is called as good or no worse, with Holm's correction over the arms.

Rare failures: arms whose true means are equal, where one training in ten of the arm loses 0.1 (and
the others are better by 0.01): how often a verdict is told, how often such a training was among the
seeds, how often the report says that one stands apart, and of the false verdicts how many carry a
caveat (seen, or hidden). The same without failures says how often it speaks of nothing.
"""

import argparse
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segtune.report.evidence.crossed import Crossed, crossed
from segtune.report.evidence.differences.verdicts import judge
from segtune.report.evidence.failures.rare_failures import (
    HIDDEN,
    LOSS,
    RATE,
    UNSEEN,
    failed_places,
    unseen,
)
from segtune.report.evidence.patients import by_patient, own_differences

sys.path.insert(0, str(Path(__file__).parents[1]))  # support

from support.studies.simulated_studies import owners, studies  # noqa: E402

MARGIN = 0.01
STUDIES = 400
SEEDS, PATIENTS = (3, 5, 10), (5, 8, 20)
ARMS = 4
EFFECTS: dict[str, tuple[float, float, int]] = {
    "normal": (0.007, 0.007, 0),
    "seeds dominate": (0.01, 0.002, 0),
    "patients dominate": (0.002, 0.01, 0),
    "a few patients gain much": (0.002, 0.01, 1),
    "a few patients lose much": (0.002, 0.01, -1),
}
"""Standard deviations of what a seed and what a patient adds to the difference, and the skew."""

FAILING = ("normal", "seeds dominate", "patients dominate")


def differences(effect: str, seeds: int, patients: int, n: int) -> Iterator[Crossed]:
    """What the report knows of the difference in each of n studies, whose truth is 0."""
    seed_sd, patient_sd, skewed = EFFECTS[effect]
    drawn = studies(seed_sd, patient_sd, seeds=seeds, patients=patients, n=n, skewed=skewed)
    for arm, base in drawn:
        (a, b), names, _ = by_patient((arm, base), owners(patients))
        once = np.ones((1, len(names)))
        per_seed = (a.by_seed(once) - b.by_seed(once))[:, 0]
        found = crossed(float(per_seed.mean()), per_seed, own_differences(a, b), a.weights_P)
        assert found is not None
        yield found


def rates(found: list[Crossed], true: float) -> dict[str, float]:
    """Share of studies with each verdict, if the difference is `true`."""
    moved = (replace(c, mean=c.mean + true) for c in found)
    said = Counter(judge([c], MARGIN, True)[0].word for c in moved)
    return {word: said[word] / len(found) for word in sorted(said)}


def any_false(found: list[Crossed]) -> float:
    """Share of studies of four arms at minus the margin in which any verdict is false."""
    moved = [replace(c, mean=c.mean - MARGIN) for c in found]
    groups = [moved[i : i + ARMS] for i in range(0, len(moved), ARMS)]
    judged = [judge(arms, MARGIN, True) for arms in groups]
    return float(
        np.mean([any(j.word not in ("worse", "cannot tell") for j in arms) for arms in judged])
    )


def rare_failures(effect: str, seeds: int, patients: int, n: int, rate: float) -> dict[str, float]:
    """Shares of studies in which seeds of the arm lose `LOSS` with a probability of `rate`."""
    rng, found = np.random.default_rng(17), []
    seed_sd, patient_sd, _ = EFFECTS[effect]
    for arm, base in studies(seed_sd, patient_sd, seeds=seeds, patients=patients, n=n):
        failed = rng.random(seeds) < rate
        moved = arm + (rate * LOSS - LOSS * failed)[:, None, None]
        (a, b), names, _ = by_patient((moved, base), owners(patients))
        own, other = (x.by_seed(np.ones((1, len(names))))[:, 0] for x in (a, b))
        per_seed = own - other
        c = crossed(float(per_seed.mean()), per_seed, own_differences(a, b), a.weights_P)
        assert c is not None
        told = judge([c], None, True)[0].word != "cannot tell"
        apart = bool(failed_places([own.tolist(), other.tolist()], True))
        small = abs(c.mean) <= HIDDEN and unseen(seeds) >= UNSEEN
        found.append((told, failed.any(), apart, apart and failed.any(), told and (apart or small)))
    told, seen, apart, right, warned = np.array(found, dtype=float).mean(axis=0).tolist()
    return {
        "told": told,
        "failure among the seeds": seen,
        "said that one stands apart": apart,
        "of those with a failure": right / seen if seen else 0.0,
        "of the told with a caveat": warned / told if told else 0.0,
    }


def main() -> None:
    """Print a row for each kind of study; write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begun = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for effect, seeds, patients in itertools.product(EFFECTS, SEEDS, PATIENTS):
        found = list(differences(effect, seeds, patients, STUDIES))
        said = {f"{true:+g}": rates(found, true) for true in (-MARGIN, 0.0, 2 * MARGIN)}
        row = {"effect": effect, "seeds": seeds, "patients": patients, "said": said}
        if (seeds, patients) == (5, 8):
            row["any false of four arms"] = any_false(
                list(differences(effect, seeds, patients, ARMS * STUDIES))
            )
        if effect in FAILING:
            for rate in (0.0, RATE):
                key = f"one seed in {1 / rate:.0f} fails" if rate else "none fails"
                row[key] = rare_failures(effect, seeds, patients, STUDIES, rate)
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(f"{time.perf_counter() - begun:.0f} s")
    if args.json:
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        head = f'"margin": {MARGIN}, "studies": {STUDIES}'
        args.json.write_text(f'{{{head}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
