"""The head of a section: what ran, and what a reader must know before any number."""

import json

import pandas as pd

from segtune.report.evidence.checklist.record import (
    commits,
    images_text,
    status_text,
    synthetic,
    unique,
    versions,
)
from segtune.report.evidence.objections.conditions import unlike_conditions
from segtune.report.page.page import Banner, Fact
from segtune.report.page.text import count, listing
from segtune.report.parts.unfinished import by_scheduler, still_running
from segtune.results.study_rows import DIRTY, StudyRows

_MANY_SEEDS = 8


def facts(rows: StudyRows) -> tuple[Fact, ...]:
    """Trials, seeds, images, code, versions, device and data."""
    trials = rows.trials
    found = [
        Fact("kind", rows.kind or "unknown"),
        Fact("trials", f"{len(trials)}: {status_text(trials)}{_roles(trials)}"),
        Fact("seeds", _seeds_text(trials)),
        *(
            []
            if rows.folds is None
            else [Fact("folds", f"{rows.folds}: what is said of a seed is the mean over its folds")]
        ),
        Fact("images", images_text(rows)),
        *(
            []
            if rows.weights == "images"
            else [Fact("test scores", "patients weigh alike: of each, the mean over its images")]
        ),
        Fact("code", listing(commits(trials)) or "no commit recorded"),
        Fact("versions", versions(trials)),
        Fact("commands", listing(unique(trials["command"])) or "not recorded"),
        Fact("device", listing(unique(trials["device"])) or "not recorded"),
        Fact("data", listing([d[:16] for d in unique(trials["data_hash"])]) or "no hash recorded"),
    ]
    started, ended = trials["started"].min(), trials["ended"].max()
    if pd.notna(started):
        when = f"{started:%Y-%m-%d %H:%M}"
        found.append(
            Fact("ran", f"{when} to {ended:%Y-%m-%d %H:%M} UTC" if pd.notna(ended) else when)
        )
    return tuple(found)


def banners(rows: StudyRows) -> tuple[Banner, ...]:
    """Synthetic data, unfinished trials, code that was not committed, unlike conditions."""
    trials, defined = rows.trials, rows.definition
    found = []
    small = [
        words
        for words, applies in (
            ("synthetic data", synthetic(rows)),
            ("nano encoders", _nano(rows)),
        )
        if applies
    ]
    if small:
        text = f"{', '.join(small)}: these numbers say nothing about the paper's results"
        found.append(Banner(text[0].upper() + text[1:] + ".", True))
    if told := _told_the_truth(rows):
        found.append(
            Banner(
                f"Boxes around the truth ({listing(told)}) were told at test too: these are scores "
                "of a system that somebody points at the object. What such a box alone is worth "
                "say the arms filled_box and box_ellipse, where the study has them.",
                True,
            )
        )
    if not defined:
        found.append(
            Banner("study.json is missing: question, baseline and search space are unknown.", True)
        )
    unfinished = trials[~trials["status"].isin(["finished", DIRTY]) & ~by_scheduler(trials)]
    if len(unfinished):
        found.append(
            Banner(
                " ".join(
                    [
                        f"Not all trials finished ({status_text(trials)}). Summaries are over "
                        "finished trials; the others are listed at the end.",
                        *still_running(trials),
                    ]
                ),
                bool((trials["status"] == "failed").any()),
            )
        )
    found += _dirty(trials)
    return (*found, *unlike_banners(rows))


def unlike_banners(rows: StudyRows) -> tuple[Banner, ...]:
    """Conditions that differ between arms, and should not."""
    return tuple(Banner(f"{o.text}.", True) for o in unlike_conditions(rows) if not o.by_design)


def _told_the_truth(rows: StudyRows) -> list[str]:
    """The kinds of boxes from the truth that systems were told: `jittered`."""
    if "prompts" not in rows.scores:
        return []
    return sorted(
        {str(p) for p in rows.scores["prompts"].dropna().unique()} & {"truth", "jittered"}
    )


def _dirty(trials: pd.DataFrame) -> list[Banner]:
    """Trials of uncommitted code, and whether they are averaged."""
    dirty = trials[trials["git_dirty"].fillna(False).astype(bool)]
    if dirty.empty:
        return []
    head = (
        f"{count(len(dirty), 'trial')} ran from a work tree with uncommitted changes: the commit "
        "alone does not reproduce them."
    )
    apart, averaged = (int((dirty["status"] == s).sum()) for s in (DIRTY, "finished"))
    if apart:
        return [Banner(f"{head} {apart} of them finished and are in no mean.", False)]
    if averaged:
        return [Banner(f"{head} No clean one finished, so they are what is averaged here.", True)]
    return [Banner(head, False)]


def _roles(trials: pd.DataFrame) -> str:
    """` (20 of the search, 6 of finalists)`, where trials had several purposes."""
    words = {"arm": "of arms", "tune": "of tuning", "search": "of the search",
             "finalist": "of finalists"}  # fmt: skip
    counts = trials["role"].value_counts().to_dict()
    shown = [f"{counts[role]} {word}" for role, word in words.items() if counts.get(role)]
    return f" ({', '.join(shown)})" if len(shown) > 1 else ""


def _seeds_text(trials: pd.DataFrame) -> str:
    """`0, 1, 2`; where there are many or several kinds of trials, how many of each."""
    run = trials[(trials["role"] != "tune") & trials["seed"].notna()]
    by_role = {str(r): sorted({int(s) for s in of}) for r, of in run.groupby("role")["seed"]}
    if not by_role:
        return "none recorded"
    if len(by_role) == 1 and len(seeds := next(iter(by_role.values()))) <= _MANY_SEEDS:
        return ", ".join(map(str, seeds))
    kinds = {"arm": "seed", "search": "search seed", "finalist": "finalist seed"}
    order = sorted(by_role, key=lambda role: list(kinds).index(role) if role in kinds else 9)
    return ", ".join(count(len(by_role[r]), kinds.get(r, f"{r} seed")) for r in order)


def _nano(rows: StudyRows) -> bool:
    """Whether an encoder of any trial is one of the small ones."""
    configs = [json.loads(text) for text in rows.trials["config"].dropna().unique()]
    parts = [part for config in configs for part in (config.get("system") or {}).values()]
    return any(
        isinstance(part, dict) and "nano" in (part.get("size"), part.get("model")) for part in parts
    )
