"""One error that lists everything wrong with a folder of data."""

from collections.abc import Iterable

SHOWN = 8
"""Faults of one kind that are spelled out; the rest are counted."""


class DataError(ValueError):
    """A data folder is not as its reader needs it."""


class Faults:
    """Collects faults by kind while a folder is read, then raises them all at once."""

    def __init__(self) -> None:
        self._by_kind: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._by_kind)

    def add(self, kind: str, detail: str) -> None:
        """Note one fault: `kind` heads its group, `detail` names the file."""
        self._by_kind.setdefault(kind, []).append(detail)

    def extend(self, kind: str, details: Iterable[str]) -> None:
        """Note several faults of one kind."""
        for detail in details:
            self.add(kind, detail)

    def lines(self) -> list[str]:
        """A line per kind with its count, and below it the first few details."""
        lines = []
        for kind, details in self._by_kind.items():
            lines.append(f"- {kind}: {len(details)}")
            lines += [f"    {detail}" for detail in details[:SHOWN]]
            if len(details) > SHOWN:
                lines.append(f"    and {len(details) - SHOWN} more")
        return lines

    def raise_if_any(self, where: str, advice: str) -> None:
        """Raise what was collected.

        Raises:
            DataError: at least one fault was added.
        """
        if self:
            raise DataError("\n".join([f"{where} cannot be used:", *self.lines(), advice]))
