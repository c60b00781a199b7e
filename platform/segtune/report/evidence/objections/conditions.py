"""Conditions that should be the same for all arms: data, weights, code and machine."""

from dataclasses import dataclass

from segtune.results.study_rows import NO_WEIGHTS, StudyRows


@dataclass(frozen=True)
class UnlikeCondition:
    """A condition that was not the same for all arms."""

    what: str
    """`data`, `commits`."""
    text: str
    """A sentence that says what it does to the comparison, without its full stop."""


def unlike_conditions(rows: StudyRows) -> tuple[UnlikeCondition, ...]:
    """What differs between the finished trials of arms and should not."""
    arms = rows.of("arm", status="finished")
    within_seed = (
        ("data_hash", "data", "scores are not comparable"),
        ("weights_hash", "initial weights", "scores are not comparable"),
    )
    overall = (
        ("device", "devices", "seconds and memory are not comparable"),
        ("workers", "numbers of workers", "seconds and memory are not comparable"),
        ("git_commit", "commits", "a difference may come from the code"),
        ("versions", "package versions", "a difference may come from a package"),
    )
    unlike = [
        UnlikeCondition(what, f"Arms of the same seed ran with different {what}: {so}")
        for column, what, so in within_seed
        if (arms[arms[column] != NO_WEIGHTS].groupby("seed")[column].nunique() > 1).any()
    ]
    unlike += [
        UnlikeCondition(what, f"Arms ran with {n} different {what}: {so}")
        for column, what, so in overall
        if (n := arms[column].dropna().astype(str).nunique()) > 1
    ]
    return tuple(unlike)
