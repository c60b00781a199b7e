"""Questions about code, software, machines and what others can have."""

from collections.abc import Iterator

import pandas as pd

from segtune.report.evidence.checklist.item import Item, Material
from segtune.report.evidence.checklist.record import commits, unique, versions
from segtune.report.page.text import count, listing

_MINUTE, _HOUR = 60.0, 3600.0
"""Seconds."""
_COMMIT_DIGITS = 10


def reproducing_items(of: Material) -> Iterator[Item]:
    """In the order in which they are asked."""
    yield _protocol(of)
    yield _code(of)
    found = versions(of.rows.trials)
    known = len(unique(of.rows.trials["versions"])) > 0
    yield Item(
        question="Which software, in which versions?",
        source="CLAIM 23",
        answer=f"{found}." if known else "",
    )
    yield _machine(of)
    yield Item(
        question="Where can others get the numbers, the networks and the data?",
        source="CLAIM 43, MI-CLAIM 6",
        lacking=f"Publish the file of segtune bundle {of.rows.name} (tables, hashes, every claim "
        "of this report; segtune verify checks it) and the checkpoints, and say where they and the "
        "data are.",
    )


def _protocol(of: Material) -> Item:
    answer = ""
    if of.rows.definition:
        answer = "study.json, written before the first training: question, arms, seeds, metrics"
        answer += " and margin." if of.rows.margin else "; no margin."
    return Item(
        question="Is there a protocol that was written down beforehand?",
        source="CLAIM 42",
        answer=answer,
        lacking="A registration, if there is one: nothing here shows when the question was asked.",
    )


def _code(of: Material) -> Item:
    trials = of.rows.trials
    found = commits(trials)
    dirty = int(trials["git_dirty"].fillna(False).astype(bool).sum())
    own = [c[:_COMMIT_DIGITS] for c in unique(trials["study_commit"])]
    answer = f"segtune at {listing(found)}." if found else ""
    if answer and own:
        answer += f" The study's file at {listing(own)}."
    if answer and (told := unique(trials["command"])):
        answer += f" Command: {told[0]}." if len(told) == 1 else f" {len(told)} commands."
    lacking = (
        f"{count(dirty, 'training')} ran from uncommitted code, which nobody can run again: "
        "commit, and run anew."
        if dirty
        else ""
    )
    return Item(
        question="Which code ran, and can it be had?",
        source="CLAIM 43, MI-CLAIM 6",
        answer=answer,
        lacking=lacking
        if answer
        else "Run from a git checkout, or from an installation out of one.",
    )


def _machine(of: Material) -> Item:
    trials = of.rows.trials
    devices = unique(trials["device"])
    took = (trials["ended"] - trials["started"]).dropna()
    found = [f"Devices: {listing(devices)}."] if devices else []
    if len(took):
        seconds = took.dt.total_seconds()
        total, most = _long(seconds.sum()), _long(seconds.max())
        found.append(f"{count(len(took), 'training')} took {total} in all, the longest {most}.")
    peak = of.rows.steps["peak_memory_bytes"].max() if len(of.rows.steps) else None
    if peak is not None and pd.notna(peak):
        found.append(f"Peak memory {peak / 1e9:.3g} GB.")
    return Item(
        question="On which machines, for how long, with how much memory?",
        source="MI-CLAIM-GEN 6",
        answer=" ".join(found),
    )


def _long(seconds: float) -> str:
    """`41 minutes`, `3.2 hours`."""
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.2g} minutes"
    return f"{seconds / _HOUR:.3g} hours"
