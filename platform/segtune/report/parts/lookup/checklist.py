"""What a reviewer asks of a study, with the answers that its own record gives."""

from collections import Counter
from collections.abc import Sequence

from segtune.report.evidence.checklist.item import NOT_RECORDED, Item
from segtune.report.page.files import latex_text, with_note
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import DASH, listing

TITLE = "Reviewer's checklist"
_WIDTHS = (0.22, 0.44, 0.22, 0.12)
"""Of the columns in LaTeX, as shares of the line."""


def checklist_part(items: Sequence[Item]) -> Part:
    """The part, folded."""
    counts = Counter(item.status for item in items)
    shown = [f"{n} {status}" for status in ("answered", "in part", NOT_RECORDED)
             if (n := counts[status])]  # fmt: skip
    return Part(
        TITLE,
        f"{len(items)} questions: {listing(shown)}. Answers are drawn from the study's own record, "
        "with what it does not say and how that can be had. Asked by: CLAIM, the items of its 2024 "
        "update (Tejani et al. 2024); MI-CLAIM, its parts (Norgeot et al. 2020; GEN: Miao et al. "
        "2024); Metrics Reloaded (Maier-Hein et al. 2024; FP: a property of its problem "
        "fingerprint). What no table can know (background, ethics, funding, the clinical role) is "
        "not among them.",
        sheet=checklist_sheet(items),
        folded=True,
    )


def checklist_sheet(items: Sequence[Item]) -> Sheet:
    """A row for each question."""
    header = ("question", "answer", "what is missing", "asked by")
    return Sheet(
        "checklist",
        header,
        tuple(
            (
                Cell(item.question, left=True),
                Cell(item.answer or NOT_RECORDED, left=True),
                Cell(item.lacking or DASH, left=True),
                Cell(item.source, left=True),
            )
            for item in items
        ),
        raw_header=("topic", "question", "status", "answer", "missing", "asked_by"),
        raw_rows=tuple(
            (item.topic, item.question, item.status, item.answer, item.lacking, item.source)
            for item in items
        ),
        latex=_latex(header, items),
    )


def _latex(header: Sequence[str], items: Sequence[Item]) -> str:
    """Columns that break their lines, over as many pages as it takes."""
    columns = "".join(f"p{{\\dimexpr{w:.2f}\\linewidth-2\\tabcolsep}}" for w in _WIDTHS)
    lines = [
        "% needs \\usepackage{booktabs,longtable}",
        f"\\begin{{longtable}}{{{columns}}}",
        "\\toprule",
        " & ".join(map(latex_text, header)) + " \\\\",
        "\\midrule",
        "\\endhead",
        *(
            " & ".join(
                map(
                    latex_text,
                    (item.question, item.answer or NOT_RECORDED, item.lacking or DASH, item.source),
                )
            )
            + " \\\\"
            for item in items
        ),
        "\\bottomrule",
        "\\end{longtable}",
    ]
    return with_note("\n".join(lines) + "\n")
