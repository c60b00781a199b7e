"""The items in their order."""

from collections.abc import Iterator
from dataclasses import replace

from segtune.report.evidence.checklist.data import data_items
from segtune.report.evidence.checklist.item import Item, Material
from segtune.report.evidence.checklist.reproducing import reproducing_items
from segtune.report.evidence.checklist.scoring import scoring_items
from segtune.report.evidence.checklist.training import training_items

_TOPICS = {
    "data": data_items,
    "training": training_items,
    "scoring": scoring_items,
    "reproducing": reproducing_items,
}
_UNKNOWN = "A run records it; these tables do not have it."


def checklist(of: Material) -> tuple[Item, ...]:
    """Every question that a reviewer asks, with what is on record of it."""

    def items() -> Iterator[Item]:
        for topic, ask in _TOPICS.items():
            for item in ask(of):
                lacking = item.lacking if item.answer else item.lacking or _UNKNOWN
                yield replace(item, topic=topic, lacking=lacking)

    return tuple(items())
