"""Whether arms had equal chances: what was held fixed, what varied, how each arm was tuned."""

import collections
import json
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from typing import Any

from segtune.report.page.text import MISSING, count, dotted, listing, setting
from segtune.results.study_rows import StudyRows

HELD = (
    ("epochs", "schedule.epochs"),
    ("batch size", "schedule.batch_size"),
    ("warm-up steps", "schedule.warmup_steps"),
)
"""Settings that should be the same for all arms: (name, dotted field)."""


OFTEN = 0.5
"""Share of steps from which on it is told that gradients were clipped."""


@dataclass(frozen=True)
class ArmBudget:
    """What one arm was given."""

    arm: str
    changes: Mapping[str, Any]
    """Dotted field -> its value in the arm's trials, where it differs from the baseline's."""
    tries: int
    """Tuning trials, which ran before its seeds."""
    tuned: Mapping[str, tuple[Any, ...]]
    """Dotted field -> the values that were to be tried."""
    steps: tuple[int, ...]
    """The distinct numbers of optimizer steps of its finished trials."""
    clipped: float | None = None
    """Share of its steps whose gradient was clipped; None where none is, or it is not on record."""


@dataclass(frozen=True)
class Budget:
    """Whether all arms had an equal budget."""

    fixed: tuple[str, ...]
    """What all finished trials share, as text."""
    varied: tuple[str, ...]
    """Dotted fields that differ between arms, a method's own learning rate among them."""
    arms: tuple[ArmBudget, ...]
    unequal: tuple[str, ...]
    """In what budgets were unequal, as text; empty where they were equal."""
    searched: int = 0
    """Trials of the search that the arms are the best of."""
    by_need: str = ""
    """How many seeds arms had, where they got them by need; empty where all have the same."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The statement that a methods section needs; empty where there are no arms."""
        if not self.arms:
            return ()
        tries = {a.tries for a in self.arms}
        tuned = (
            "No arm was tuned: each ran with the settings of its definition."
            if tries == {0}
            else f"Tuned on val before the seeds ran: {_tries(self.arms)}."
        )
        if self.searched:
            tuned = f"Chosen on val as the best of {count(self.searched, 'trial')} of the search."
        sentences = [
            f"Held fixed: {listing(list(self.fixed)) or 'nothing is on record'}.",
            f"Varied between arms: {listing(list(self.varied)) or 'nothing'}.",
            tuned,
        ]
        if often := [f"{a.arm} {a.clipped:.0%}" for a in self.arms if (a.clipped or 0) >= OFTEN]:
            sentences.append(
                f"Clipped (optim.clip_norm) in most steps, so that the gradient's length counted "
                f"for little: {listing(often)}."
            )
        if self.by_need:
            sentences.append(f"Seeds by need: {self.by_need} of an arm.")
        return (*sentences, *(f"Not equal: {text}." for text in self.unequal))


def budget(rows: StudyRows) -> Budget:
    """Compare the finished trials: what they have in common and where they differ."""
    finished = rows.of("arm", status="finished")
    configs = [json.loads(text) for text in finished["config"].dropna()]
    fixed, unequal, by_need = [], [], ""
    for name, field in HELD:
        found = {setting(v) for c in configs if (v := dotted(c, field)) is not MISSING}
        if len(found) == 1:
            fixed.append(f"{name} {found.pop()}")
        elif found:
            unequal.append(f"{name} ({', '.join(sorted(found))})")
    for name, column in (("data", "data_hash"), ("seeds", "seed"), ("workers", "workers")):
        per_arm = {
            tuple(sorted(set(of_arm.dropna()))) for _, of_arm in finished.groupby("arm")[column]
        }
        if len(per_arm) == 1:
            fixed.append(f"{name}{_values(column, per_arm.pop())}")
        elif name == "seeds" and _by_need(rows, per_arm):
            by_need = f"{min(map(len, per_arm))} to {max(map(len, per_arm))}"
        elif per_arm:
            unequal.append(f"{name} are not the same for all arms")
    last = rows.steps.groupby("trial_id")["step"].max()
    steps = {str(trial): int(step) for trial, step in last.items()}
    arms = tuple(_arm(rows, arm, steps) for arm in rows.arms)
    if len({a.steps for a in arms if a.steps}) > 1:
        shown = ", ".join(f"{a.arm} {'/'.join(map(str, a.steps))}" for a in arms if a.steps)
        unequal.append(f"optimizer steps ({shown})")
    if len({a.tries for a in arms}) > 1:
        unequal.append(f"tuning trials ({_tries(arms)}): more tries are more chances")
    varied = {field for arm in arms for field in (*arm.changes, *arm.tuned)}
    searched = int(rows.definition.get("searched") or 0)
    varied_fields = tuple(sorted(varied))
    return Budget(tuple(fixed), varied_fields, arms, tuple(unequal), searched, by_need)


def _by_need(rows: StudyRows, per_arm: Collection[tuple[Any, ...]]) -> bool:
    """Whether arms have unlike seeds because verdicts were reached: each the first ones, as many
    as the first look takes or more."""
    first = list(rows.definition.get("seeds") or ())
    return bool(rows.looks) and all(
        len(own) >= rows.looks[0] and list(own) == first[: len(own)] for own in per_arm
    )


def _arm(rows: StudyRows, arm: str, steps: Mapping[str, int]) -> ArmBudget:
    trials = rows.of("arm", arm=arm)
    finished = trials[trials["status"] == "finished"]["trial_id"]
    tuned = (rows.definition.get("tune") or {}).get(arm) or {}
    return ArmBudget(
        arm=arm,
        changes=_changes(rows, arm),
        tries=len(rows.of("tune", arm=arm)),
        tuned={str(field): tuple(values) for field, values in tuned.items()},
        steps=tuple(sorted({steps[t] for t in finished if t in steps})),
        clipped=_clipped(rows, arm, set(finished)),
    )


def _clipped(rows: StudyRows, arm: str, trials: Set[str]) -> float | None:
    """The share of an arm's steps whose gradient was longer than it was allowed to be."""
    limit = dotted(rows.config(arm) or {}, "optim.clip_norm")
    norms = rows.steps[rows.steps["trial_id"].isin(trials)]["gradient_norm"].dropna()
    if not isinstance(limit, float) or norms.empty:
        return None
    return float((norms > limit).mean())


def _changes(rows: StudyRows, arm: str) -> Mapping[str, Any]:
    """What an arm's trials ran with and the baseline's did not, of the fields that matter.

    These are the fields that the arm's definition changes, the method and its learning rate. A
    changed field may have the baseline's value (another method of the same rank), and a method
    has a learning rate of its own, which the definition does not name.
    """
    ours, theirs = rows.config(arm), rows.config(rows.baseline)
    if arm == rows.baseline or ours is None or theirs is None:
        return {}
    texts = rows.of("arm", arm=arm)["changes"].dropna()
    asked = json.loads(texts.iloc[0]) if len(texts) else {}
    values = {f: dotted(ours, f) for f in dict.fromkeys(("method", *asked))}
    changed = {f: v for f, v in values.items() if v is not MISSING and v != dotted(theirs, f)}
    changed.pop("method.lr", None)
    rate = _adapted_lr(rows, arm)
    if rate is not None and rate != _adapted_lr(rows, rows.baseline):
        changed["method.lr"] = rate
    return changed


def _adapted_lr(rows: StudyRows, arm: str | None) -> float | None:
    """The peak rate of what an arm's method adapts: on record, or else as configured."""
    recorded = rows.of("arm", arm=arm)["adapted_lr"].dropna()
    if len(recorded):
        return float(recorded.iloc[0])
    configured = dotted(rows.config(arm) or {}, "method.lr")
    return configured if isinstance(configured, float) else None


def _values(column: str, found: tuple[Any, ...]) -> str:
    if column == "data_hash":
        return ""
    return f" {', '.join(str(v) for v in found)}" if len(found) <= 8 else f" ({len(found)})"


def _tries(arms: tuple[ArmBudget, ...]) -> str:
    tries = collections.Counter({a.arm: a.tries for a in arms})
    if len(set(tries.values())) == 1:
        return f"each arm had {count(arms[0].tries, 'try', 'tries')}"
    return ", ".join(f"{arm} {n}" for arm, n in tries.items())
