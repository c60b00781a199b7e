"""What sequential seeds save, and how often their verdicts are wrong: simulated studies.

    .venv/bin/python tests/benchmarks/sequential_seeds.py --json FILE

One arm beside a baseline, 20 test patients, margin 0.01, through the rules that a run and a report
go by (`crossed`, `judge`, `price`, `chances`). The arm gets 3 to 20 seeds, looked at after 3, 5, 8,
12 and 20; beside it the same studies with 5 and with 20 seeds for every arm, looked at once. A true
difference of minus the margin makes "no worse" and "as good" false, of 0 "better" and "worse".
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from sys import path
from typing import Any

import numpy as np

path.insert(0, str(Path(__file__).parents[1]))  # support

from support.studies.simulated_studies import owners, studies  # noqa: E402

from segtune import Sequential  # noqa: E402
from segtune.report.evidence.crossed import crossed  # noqa: E402
from segtune.report.evidence.differences.verdicts import judge  # noqa: E402
from segtune.report.evidence.patients import by_patient, own_differences  # noqa: E402
from segtune.report.evidence.power.spread import measure_spread  # noqa: E402
from segtune.report.evidence.sequential.bounds import price  # noqa: E402
from segtune.report.evidence.sequential.looks import chances  # noqa: E402
from segtune.report.evidence.stats import Values  # noqa: E402

MARGIN, PATIENTS, STUDIES = 0.01, 20, 400
LOOKS = Sequential(at_least=3, at_most=20).looks
EFFECTS: dict[str, tuple[float, float]] = {
    "little varies": (0.004, 0.007),
    "both vary": (0.01, 0.01),
    "seeds dominate": (0.02, 0.004),
    "patients dominate": (0.004, 0.02),
}
"""Standard deviations of what a seed and what a patient adds to the difference."""
TRUE = (-0.02, -MARGIN, 0.0, 0.02)


def decide(arm: Values, base: Values, looks: tuple[int, ...]) -> tuple[str, int]:
    """The verdict of one study, and the seeds that it took."""
    for seeds in looks:
        (a, b), names, _ = by_patient((arm[:seeds], base[:seeds]), owners(PATIENTS))
        once = np.ones((1, len(names)))
        per_seed = (a.by_seed(once) - b.by_seed(once))[:, 0]
        mean = float(per_seed.mean())
        found = crossed(mean, per_seed, own_differences(a, b), a.weights_P)
        assert found is not None
        word = judge([replace(found, price=price(looks, seeds, 1))], MARGIN, True)[0].word
        if seeds == looks[-1]:
            break
        known = measure_spread(a, b)
        assert known is not None
        if chances(mean, known, MARGIN, looks, 1).stops(word):
            break
    return word, seeds


def simulated(effect: str, true: float) -> dict[str, Any]:
    """Shares of verdicts and the mean number of seeds, of each way to give seeds."""
    seed_sd, patient_sd = EFFECTS[effect]
    ways = {"3 to 20": LOOKS, "5": (5,), "20": (20,)}
    said: dict[str, list[tuple[str, int]]] = {way: [] for way in ways}
    drawn = studies(seed_sd, patient_sd, seeds=LOOKS[-1], patients=PATIENTS, n=STUDIES)
    for arm, base in drawn:
        for way, looks in ways.items():
            said[way].append(decide(arm + true, base, looks))
    return {"effect": effect, "true": true} | {
        way: {
            "seeds": float(np.mean([seeds for _, seeds in found])),
            "said": {w: n / STUDIES for w, n in sorted(Counter(w for w, _ in found).items())},
        }
        for way, found in said.items()
    }


def main() -> None:
    """Print a row for each kind of study and true difference; write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begun, rows = time.perf_counter(), []
    for effect in EFFECTS:
        for true in TRUE:
            rows.append(simulated(effect, true))
            print(json.dumps(rows[-1]), flush=True)
    print(f"{time.perf_counter() - begun:.0f} s")
    if args.json:
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        head = f'"margin": {MARGIN}, "patients": {PATIENTS}, "studies": {STUDIES}'
        args.json.write_text(f'{{{head}, "rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
