"""What a study found, as values: for the page and for a notebook.

    from segtune.report import summarize

    found = summarize("results", "demo")
    print(*found.answer, sep="\\n")
    for d in found.comparisons[0].differences:
        print(d.arm, d.verdict.text, d.shown)

The page is drawn from the same values, so a notebook and the report never differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from segtune.report.evidence.answer import ablation_answer, finalists_answer, search_answer
from segtune.report.evidence.checklist.all_items import checklist
from segtune.report.evidence.checklist.item import Item, Material
from segtune.report.evidence.costs.joint_claims import JointClaims, joint_claims
from segtune.report.evidence.costs.measured import MeasuredCosts, measure_costs
from segtune.report.evidence.differences.compare import Comparison, compare, contrasts
from segtune.report.evidence.failures.rare_failures import ArmFailures, rare_failures
from segtune.report.evidence.finalists import finalists
from segtune.report.evidence.objections.all_caveats import caveats
from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.evidence.objections.fairness import Budget, budget
from segtune.report.evidence.overview import Overview, overview
from segtune.report.evidence.resampled import Resampled, resampled
from segtune.report.evidence.search_results import SearchResults, search_results
from segtune.report.evidence.summary import Summary, score_summary
from segtune.results.storage import Storage
from segtune.results.study_rows import load
from segtune.results.study_scores import StudyScores, derive
from segtune.study.spec import Reported


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
    contrasts: tuple[Comparison, ...]
    """The pairs of arms that the study declares besides, on test."""
    joint: tuple[JointClaims, ...]
    """Which arms are no worse than their reference and cheaper, in the primary endpoint; empty
    without a margin."""
    external: tuple[Comparison, ...]
    """As `comparisons`, on images of another source; empty where none were tested on."""
    resampled: Resampled | None
    """Probability of improvement, performance profiles and ranks in the first objective, with seeds
    and patients drawn again; None without scores of single test images."""
    overview: Overview | None
    """Every arm in a line, in the first objective: what the page begins with; None where there is
    no baseline or nothing was tested."""
    failures: tuple[ArmFailures, ...]
    """Per arm: trainings and patients that are unlike the rest, images where nothing was found."""
    budget: Budget
    caveats: tuple[Caveat, ...]
    """What would change the conclusion."""
    reported: tuple[Reported, ...]
    """Papers' numbers, reported and not reproduced; in none of the others."""
    checklist: tuple[Item, ...]
    """What a reviewer asks, answered from what is on record."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What is derived from a study's tables, and what may be concluded from it."""

    study: StudyScores
    costs: MeasuredCosts
    search: SearchResults | None
    """None unless the study is a search."""
    finalists: StudyScores | None
    """A search's finalists as the arms of a study; None where none were started."""
    tested_costs: MeasuredCosts
    """Of the arms that are compared: the finalists, or the study's own arms."""
    summary: StudySummary

    @property
    def tested(self) -> StudyScores:
        """The study whose arms are compared: of a search its finalists, where there are any."""
        return self.study if self.finalists is None else self.finalists


def summarize(storage: Storage, study: str) -> StudySummary:
    """Read a study's tables and compute everything that its report says.

    Args:
        storage: the folder that holds the studies.
        study: the name that it was run under.

    Raises:
        ValueError: no trial of this name was ever recorded under `storage`.
    """
    return findings(derive(load(storage, study))).summary


def findings(study: StudyScores) -> Findings:
    """Draw the conclusions from a study's scores and costs."""
    rows, costs, search, repeated = study.rows, measure_costs(study.rows), None, None
    if rows.kind == "search" or (rows.trials["role"] == "finalist").any():
        search = search_results(study, costs)
        repeated = finalists(study, search)
    tested = study if repeated is None else repeated
    tested_costs = costs if repeated is None else measure_costs(repeated.rows)
    summary, comparisons = score_summary(tested), compare(tested)
    pairs = contrasts(tested)
    external, given = compare(tested, "external"), budget(tested.rows)
    joint = joint_claims(tested.rows, tested_costs, comparisons, pairs)
    first = comparisons[0] if comparisons else None
    failures = rare_failures(tested, first)
    objections = caveats(tested, comparisons, given, failures)
    if rows.kind != "search":
        answer = ablation_answer(
            rows, summary, comparisons, pairs, joint, external, objections, costs.arms
        )
    elif repeated is not None and any(a.values for a in summary.arms):
        assert search is not None
        answer = finalists_answer(
            repeated.rows, search, summary, comparisons, joint, external, objections
        )
    else:
        assert search is not None
        answer = search_answer(search, rows.definition.get("finalists"))
    counts = rows.trials["status"].value_counts().to_dict()
    found = StudySummary(
        study=rows.name,
        question=str(rows.definition.get("question") or ""),
        baseline=tested.rows.baseline,
        answer=answer,
        trials={str(status): int(n) for status, n in counts.items()},
        summary=summary,
        comparisons=comparisons,
        contrasts=pairs,
        joint=joint,
        external=external,
        resampled=None if first is None else resampled(tested, first.measure),
        overview=overview(tested.rows, summary, comparisons, tested_costs, failures),
        failures=failures,
        budget=given,
        caveats=objections,
        reported=rows.reported,
        checklist=checklist(Material(rows, tested, comparisons, failures, given, objections)),
    )
    return Findings(study, costs, search, repeated, tested_costs, found)
