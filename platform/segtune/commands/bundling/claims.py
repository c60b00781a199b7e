"""What a study's report says, as named values.

They are the values from which the page is drawn (`segtune.report.summarize`): the answer, scores,
differences with their intervals, p values and verdicts, costs, what a search found, and what speaks
against it all.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from pydantic import JsonValue

from segtune.commands.bundling.manifest import Claims
from segtune.report.evidence.costs.joint_claims import JointClaim
from segtune.report.evidence.costs.measured import Cost, quantity
from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.patients import PatientInterval
from segtune.report.evidence.summary import ArmScores, Summary
from segtune.report.parts.lookup.evaluated import evaluations
from segtune.report.summarize import Findings, findings
from segtune.results import tables
from segtune.results.measures import Measure
from segtune.results.storage import Storage
from segtune.results.study_rows import StudyRows, load
from segtune.results.study_scores import derive

ORIGIN = "made with"
"""The claim that names commits, versions and devices."""
RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Numbers that differ by no more are equal: another processor adds in another order."""
LONG = 80
"""Characters of a text that are shown in a message."""


def claims(storage: Storage, study: str) -> Claims:
    """Compute everything that a study's tables let its report say.

    Raises:
        ValueError: no trial of the study is on record, or a table makes no sense.
    """
    found = findings(derive(load(storage, study)))
    trials = tables.read(storage, study, "trials").to_pandas()
    return {what: dict(values) for what, values in _claims(found, trials) if values}


def unequal(recorded: Claims, now: Claims) -> list[str]:
    """Each claim that differs, in words, verdicts first; nothing where all hold."""
    found: list[tuple[bool, str]] = []
    for what in dict.fromkeys([*recorded, *now]):
        before, after = recorded.get(what, {}), now.get(what, {})
        for name in dict.fromkeys([*before, *after]):
            if name not in before:
                told = f"is not in the manifest; by the tables it is {_shown(after[name])}"
            elif name not in after:
                told = f"is {_shown(before[name])}; by the tables there is no such value"
            elif not _equal(before[name], after[name]):
                one, other = _apart(before[name], after[name])
                told = f"is {one}; by the tables it is {other}"
            else:
                continue
            found.append((name != "verdict", f"{what}: {name} {told}"))
    return [text for _, text in sorted(found, key=lambda of: of[0])]


def _apart(one: JsonValue, other: JsonValue) -> tuple[str, str]:
    """Two values that differ; of long texts the part where they begin to."""
    if not (isinstance(one, str) and isinstance(other, str) and max(map(len, (one, other))) > LONG):
        return _shown(one), _shown(other)
    start = max(0, len(os.path.commonprefix([one, other])) - LONG // 2)
    first, second = (_part(text, start) for text in (one, other))
    return first, second


def _part(text: str, start: int) -> str:
    before, after = "..." * (start > 0), "..." * (len(text) > start + LONG)
    return f'"{before}{text[start : start + LONG]}{after}"'


def _shown(value: JsonValue) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _equal(one: JsonValue, other: JsonValue) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(one) is type(other) and one == other


def _claims(found: Findings, trials: pd.DataFrame) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    summary = found.summary
    yield ORIGIN, _origin(trials)
    yield "trials", dict(summary.trials)
    yield "answer", {f"sentence {i}": text for i, text in enumerate(summary.answer, 1)}
    for arm in summary.summary.arms:
        yield f"scores of {arm.arm}", _scores(summary.summary, arm)
    for comparison in (*summary.comparisons, *summary.contrasts, *summary.external):
        for d in comparison.differences:
            yield _against(comparison, d.arm), _difference(d)
        for arm_name in comparison.missing:
            yield _against(comparison, arm_name), {"verdict": "no seed scored in both"}
    for joint in summary.joint:
        for of in joint.arms:
            yield (
                f"{_against(joint.comparison, of.difference.arm)}, no worse and cheaper",
                {name: value for c in of.claims for name, value in _joint(c).items()},
            )
    for cost in found.tested_costs.arms:
        yield f"costs of {cost.name}", _costs(cost)
    if found.search is not None:
        for trial in found.search.trials:
            values = zip(found.search.labels, trial.values, strict=True)
            yield (
                f"search trial {trial.trial_id}",
                {
                    **{label: _number(value) for label, value in values},
                    "status": trial.status,
                    "best epoch": trial.best_epoch,
                    "on the Pareto front": trial.on_front,
                    "within the constraints": trial.allowed,
                },
            )
    yield "budget", {f"sentence {i}": s for i, s in enumerate(summary.budget.sentences, 1)}
    yield "checklist", {item.question: item.answer or item.status for item in summary.checklist}
    yield "caveats", {caveat.title: caveat.text for caveat in summary.caveats}
    yield from _evaluated(found.study.rows)


def _origin(trials: pd.DataFrame) -> dict[str, JsonValue]:
    """Commits, versions and devices of all trials; several of one kind side by side."""
    found: dict[str, JsonValue] = {}
    for name, column in (
        ("commit of segtune", "git_commit"),
        ("commit of the study", "study_commit"),
        ("device", "device"),
        ("data", "data_hash"),
        ("pretrained weights", "weights_hash"),
    ):
        found[name] = ", ".join(sorted(set(map(str, trials[column].dropna())))) or None
    found["uncommitted code"] = bool(trials["git_dirty"].fillna(False).astype(bool).any())
    versions: dict[str, set[str]] = {}
    for text in set(trials["versions"].dropna()):
        for package, version in json.loads(text).items():
            versions.setdefault(package, set()).add(str(version))
    return found | {p: ", ".join(sorted(of)) for p, of in sorted(versions.items())}


def _against(comparison: Comparison, arm: str) -> str:
    where = f"on {comparison.split}, {_measure(comparison.measure)}"
    return f"{arm} against {comparison.baseline} {where}"


def _measure(measure: Measure) -> str:
    return f"{measure.metric} ({measure.protocol}, {measure.resolution})"


def _scores(summary: Summary, arm: ArmScores) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {"seeds": list(arm.seeds)}
    for column in summary.columns:
        if (estimate := arm.values.get(column.key)) is not None:
            out |= _estimate(f"{summary.split} {column.key} {column.measure.protocol}", estimate)
        if (patients := arm.patients.get(column.key)) is not None:
            out |= _patients(f"{summary.split} {column.key}", patients)
    if arm.cost is not None:
        out |= _estimate(f"cost of a seed ({summary.currency})", arm.cost)
    return out


def _difference(d: Difference) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {
        "verdict": d.verdict.text,
        "seeds": list(d.seeds),
        "per seed": [_number(v) for v in d.per_seed],
        "per patient": [_number(v) for v in d.per_patient],
        **_estimate("", d.over_seeds, " over seeds"),
        "p over seeds": _number(d.p_seeds),
        "p over patients": _number(d.p_patients),
        "p": _number(d.p),
        "p after Holm": _number(d.p_holm),
        "effect over seeds": _number(d.effect_seeds),
        "effect over patients": _number(d.effect_patients),
        "same data": d.same_data,
    }
    if d.over_patients is not None:
        out |= _patients("", d.over_patients)
    if d.over_both is not None:
        out |= _estimate("", d.over_both, " over seeds and patients")
    if d.held is not None:
        out |= {
            "margin": d.held.margin,
            "p of no worse after Holm": _number(d.held.p_no_worse),
            "p of as good after Holm": _number(d.held.p_as_good),
            **_estimate("held against the margin", d.held.bounds),
        }
    return out


def _joint(claim: JointClaim) -> dict[str, JsonValue]:
    return {
        **_estimate(f"{claim.cost}, times the reference's", claim.ratio.ratio),
        f"p of less {claim.cost}": _number(claim.ratio.p_cheaper),
        f"p of no worse and less {claim.cost} after Holm": _number(claim.p),
    }


def _costs(cost: Cost) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {"trials": cost.n}
    for key, estimate in cost.values.items():
        out |= _estimate(quantity(key).label, estimate)
    for part, estimate in cost.parts.items():
        out |= _estimate(f"seconds per step, {part}", estimate)
    return out


def _evaluated(rows: StudyRows) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """What was scored after the study had run."""
    for scores in evaluations(rows).scores:
        measure = f"{scores.label} ({scores.protocol}, {scores.resolution}) of {scores.class_name}"
        where = ", ".join(filter(None, (f"{scores.data} {scores.split}", scores.told)))
        means: dict[str, JsonValue] = {}
        for name, estimate in scores.of_arm:
            means |= {} if estimate is None else _estimate(name, estimate)
        yield f"evaluated afterwards on {where}: {measure}", means


def _estimate(name: str, found: Estimate, over: str = "") -> dict[str, JsonValue]:
    of = f"{name}, " if name else ""
    return {
        f"{of}mean{over}": _number(found.mean),
        f"{of}low{over}": _number(found.low),
        f"{of}high{over}": _number(found.high),
        f"{of}n{over}": found.n,
    }


def _patients(name: str, found: PatientInterval) -> dict[str, JsonValue]:
    of, over = f"{name}, " if name else "", " over patients"
    values: Mapping[str, Any] = vars(found)
    return {f"{of}{key}{over}": _number(value) for key, value in values.items()}


def _number(value: float | None) -> JsonValue:
    """As JSON has it: what is no finite number is a word."""
    if value is None or isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else str(float(value))
