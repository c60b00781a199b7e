"""Conditions that should be the same for all arms: data, weights, code and machine."""

import json
from dataclasses import dataclass

from segtune.results.study_rows import NO_WEIGHTS, StudyRows


@dataclass(frozen=True)
class UnlikeCondition:
    """A condition that was not the same for all arms."""

    what: str
    """`data`, `commits`."""
    text: str
    """A sentence that says what it does to the comparison, without its full stop."""
    by_design: bool = False
    """Whether it belongs to what the arms are: a caveat, and nothing wrong with the study."""


def unlike_conditions(rows: StudyRows) -> tuple[UnlikeCondition, ...]:
    """What differs between the finished trials of arms and should not."""
    arms = rows.of("arm", status="finished")
    overall = (
        ("device", "devices", "seconds and memory are not comparable"),
        ("workers", "numbers of workers", "seconds and memory are not comparable"),
        ("git_commit", "commits", "a difference may come from the code"),
        ("versions", "package versions", "a difference may come from a package"),
    )
    unlike = []
    if (arms.groupby("seed")["data_hash"].nunique() > 1).any():
        text = "Arms of the same seed ran with different data: scores are not comparable"
        unlike.append(UnlikeCondition("data", text))
    begun = arms[arms["weights_hash"] != NO_WEIGHTS]
    networks = begun["config"].map(_network)
    if (begun.groupby(["seed", networks])["weights_hash"].nunique() > 1).any():
        text = "Arms of the same seed ran with different initial weights: scores are not comparable"
        unlike.append(UnlikeCondition("initial weights", text))
    elif (begun.groupby("seed")["weights_hash"].nunique() > 1).any():
        text = (
            "Arms have different networks, which begin from different weights: a difference is of "
            "network and weights together"
        )
        unlike.append(UnlikeCondition("networks", text, by_design=True))
    unlike += [
        UnlikeCondition(what, f"Arms ran with {n} different {what}: {so}")
        for column, what, so in overall
        if (n := arms[column].dropna().astype(str).nunique()) > 1
    ]
    return tuple(unlike)


def _network(config: str | None) -> str:
    """What of a configuration says which network is built; empty where none is on record."""
    system = json.loads(config or "{}").get("system", {})
    return json.dumps(system, sort_keys=True)
