"""One question of a reviewer with its answer, and what answers are drawn from.

Sources, by the numbers that a reader finds there:

CLAIM n       Item n of the Checklist for Artificial Intelligence in Medical Imaging, 2024 update
              (Tejani et al., Radiology: Artificial Intelligence 6, 2024, e240300).
MI-CLAIM n    Part n of Minimum Information about Clinical Artificial Intelligence Modeling (Norgeot
              et al., Nature Medicine 26, 2020, 1320-1324); MI-CLAIM-GEN is its edition of 2024
              (Miao et al., arXiv 2403.02558).
Metrics Reloaded  Maier-Hein et al., Nature Methods 21 (2024), 195-212; FP: a property of its
              problem fingerprint.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from segtune.report.evidence.differences.compare import Comparison
from segtune.report.evidence.failures.rare_failures import ArmFailures
from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.evidence.objections.fairness import Budget
from segtune.results.data_facts import SetFacts
from segtune.results.study_rows import StudyRows
from segtune.results.study_scores import StudyScores

Status = Literal["answered", "in part", "not recorded"]
NOT_RECORDED: Status = "not recorded"
METRICS_RELOADED = "Metrics Reloaded"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question."""

    question: str
    source: str
    """Who asks it: `CLAIM 20, MI-CLAIM 2-3`."""
    answer: str = ""
    """From the study's own record; empty where nothing is."""
    lacking: str = ""
    """What the record does not say, and how it can be had; empty where the answer is whole."""
    topic: str = ""
    """`data`, `training`, `scoring` or `reproducing`."""

    @property
    def status(self) -> Status:
        """Whether the record answers it."""
        if not self.answer:
            return NOT_RECORDED
        return "in part" if self.lacking else "answered"


@dataclass(frozen=True, eq=False)
class Material:
    """What answers are drawn from."""

    rows: StudyRows
    """The whole study."""
    tested: StudyScores
    """Its arms; of a search its finalists."""
    comparisons: Sequence[Comparison]
    failures: Sequence[ArmFailures]
    budget: Budget
    caveats: Sequence[Caveat]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The baseline's configuration, else that of the first trial; empty where none is known."""
        own = self.tested.rows.config(self.tested.rows.baseline)
        if own is not None:
            return own
        texts = list(self.rows.trials["config"].dropna())
        found: Mapping[str, Any] = json.loads(texts[0]) if texts else {}
        return found

    @cached_property
    def sets(self) -> Sequence[SetFacts]:
        """What was counted of the data that trials ran with. Empty where nobody has counted, or
        where the files have changed since."""
        own = [one.content_hash for one in self.rows.data if one.role == "data"]
        return self.rows.data if any(map(self.rows.may_be_of, own)) else ()
