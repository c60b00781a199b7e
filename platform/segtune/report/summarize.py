"""All that a study's tables can say, in one frozen value.

    from segtune.report import summarize

    found = summarize("results", "demo")
    print(*found.answer, sep="\\n")
    for d in found.comparisons[0].differences:
        print(d.arm, d.verdict.text, d.shown)

The page is drawn from the same value, so a notebook and the report never differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from segtune.report.answer import answer
from segtune.report.budget import Budget, budget
from segtune.report.caveats import Caveat, caveats
from segtune.report.finalists import finalists
from segtune.report.paired import Comparison, compare
from segtune.report.summary import Summary, summarise
from segtune.results.reported import Reported
from segtune.results.storage import Storage
from segtune.results.study_rows import StudyRows, load


@dataclass(frozen=True)
class StudySummary:
    """A study's numbers and what may be concluded from them."""

    study: str
    question: str
    baseline: str | None
    answer: tuple[str, ...]
    """Sentences: what was found (on an external set too, where there is one), what it costs, what
    may change it."""
    trials: Mapping[str, int]
    """Status -> trials, of all roles. Means are over `finished` ones; `dirty`: finished from
    uncommitted code while others ran from a commit, so in no mean."""
    summary: Summary
    """Scores per arm on test; of a search: of its finalists."""
    comparisons: tuple[Comparison, ...]
    """Against the baseline, one for each of the study's objectives that is a score; of a search:
    of its finalists."""
    external: tuple[Comparison, ...]
    """The same on images of another source; empty where none were tested on."""
    budget: Budget
    caveats: tuple[Caveat, ...]
    """What would change the conclusion."""
    reported: tuple[Reported, ...]
    """Papers' numbers, reported and not reproduced; in none of the others."""


def summarize(storage: Storage, study: str) -> StudySummary:
    """Read a study's tables and compute everything that its report says.

    Args:
        storage: the folder that holds the studies.
        study: the name that it was run under.

    Raises:
        ValueError: no trial of this name was ever recorded under `storage`.
    """
    return summarize_rows(load(storage, study))


def summarize_rows(rows: StudyRows) -> StudySummary:
    """The same, of rows that were read."""
    tested = finalists(rows) or rows
    summary, comparisons = summarise(tested), compare(tested)
    external = compare(tested, "external")
    given = budget(tested)
    objections = caveats(tested, comparisons, given)
    counts = rows.trials["status"].value_counts().to_dict()
    return StudySummary(
        study=rows.name,
        question=str(rows.definition.get("question") or ""),
        baseline=tested.baseline,
        answer=answer(rows, summary, comparisons, external, objections),
        trials={str(status): int(n) for status, n in counts.items()},
        summary=summary,
        comparisons=comparisons,
        external=external,
        budget=given,
        caveats=objections,
        reported=rows.reported,
    )
