"""What the report derives from tables, for its tests."""

import re
from pathlib import Path

from segtune.report.summarize import Findings, findings
from segtune.results.study_rows import load
from segtune.results.study_scores import StudyScores, derive


def scores(storage: Path, study: str) -> StudyScores:
    """A study's rows and scores."""
    return derive(load(storage, study))


def found(storage: Path, study: str) -> Findings:
    """All that is concluded from a study."""
    return findings(scores(storage, study))


def markup(page: Path) -> str:
    """The page without what stands inside its scripts."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1", page.read_text(), flags=re.DOTALL)
