"""Arms of an ablation, made from factors: dotted fields and their values."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from segtune.study.overrides import Changes, SpecError, apply, flatten

RESOLUTIONS = (3, 4, 5)


def factor(name: str, values: Sequence[Any], *, label: str | None = None) -> dict[str, Changes]:
    """Arms that change one field: `factor("method.rank", (4, 16))` -> rank-4, rank-16.

    Args:
        name: the dotted field.
        values: one arm for each.
        label: beginning of the arms' names; None takes the field's last word.
    """
    word = label or name.rpartition(".")[2]
    return {_name(f"{word}-{value}"): {name: value} for value in values}


def factorial(
    factors: Mapping[str, Sequence[Any]], *, baseline: Any | None = None
) -> dict[str, Changes]:
    """Arms for every combination of the factors' values, named after the values.

    Args:
        factors: dotted field -> values.
        baseline: the study's, where one of the combinations is its own: that one is left out.
    """
    arms: dict[str, Changes] = {}
    for values in itertools.product(*factors.values()):
        changes = dict(zip(factors, values, strict=True))
        if baseline is None or apply(baseline, changes) != baseline:
            name = _name("-".join(str(v) for v in values))
            if name in arms:
                raise SpecError([f"factorial: two arms would be called {name}: write them out"])
            arms[name] = changes
    return arms


def fractional_factorial(
    factors: Mapping[str, tuple[Any, Any]], *, resolution: int = 4
) -> dict[str, Changes]:
    """Two-level arms, fewer than all combinations, named after the factors that are switched on.

    `resolution` says what stays apart: 3, main effects from each other; 4, main effects from
    interactions of two; 5, interactions of two from each other too. Eight factors take 16 runs in
    place of 256 at resolution 4. Factors are columns over GF(2); a design has resolution R where no
    fewer than R columns add up to zero, and the smallest number of runs for which such columns are
    found one after the other (lowest first) is taken.

    Args:
        factors: dotted field -> (value of the baseline, other value).
        resolution: 3, 4 or 5.

    Returns:
        Every run but the one with no factor on, which is the baseline.

    Raises:
        SpecError: no such resolution, no factor, or values that are not two.
    """
    faults = [
        f"factor {name}: give (value of the baseline, other value), not {pair!r}"
        for name, pair in factors.items()
        if len(pair) != 2
    ]
    if resolution not in RESOLUTIONS:
        faults.append(f"resolution = {resolution}: choose one of 3, 4, 5, or take `factorial`")
    if not factors:
        faults.append("fractional_factorial needs at least one factor")
    if faults:
        raise SpecError(faults)
    columns, runs = _columns(len(factors), resolution)
    words = dict(zip(factors, _words(list(factors)), strict=True))
    arms: dict[str, Changes] = {}
    for run in range(1, runs):
        on = {f: (run & c).bit_count() % 2 == 1 for f, c in zip(factors, columns, strict=True)}
        name = "+".join(words[f] for f in factors if on[f])
        arms[_name(name)] = {f: pair[1] for f, pair in factors.items() if on[f]}
    return arms


def _columns(count: int, resolution: int) -> tuple[list[int], int]:
    """A column for each factor, as the bits of an integer, and the number of runs."""
    bits = 1
    while True:
        columns: list[int] = []
        # Sums of up to resolution - 2 columns: one of them as a new column would close a word that
        # is too short.
        taken = {0}
        for candidate in range(1, 2**bits):
            if candidate in taken:
                continue
            columns.append(candidate)
            if len(columns) == count:
                return columns, 2**bits
            taken = {
                _xor(some)
                for size in range(resolution - 1)
                for some in itertools.combinations(columns, size)
            }
        bits += 1


def _xor(columns: Sequence[int]) -> int:
    total = 0
    for column in columns:
        total ^= column
    return total


def changes_between(start: Any, target: Any) -> Changes:
    """The changes that lead from one configuration to another, as few as will do.

    Args:
        start: a configuration.
        target: another of the same class; locations on disk are taken to be the same.
    """
    before, after = flatten(start, locations=False), flatten(target, locations=False)
    changes = {f: v for f, v in after.items() if f not in before or before[f] != v}
    changes.pop("seed", None)
    wanted = apply(start, changes)
    for field in list(changes):
        fewer = {f: v for f, v in changes.items() if f != field}
        try:
            if apply(start, fewer) == wanted:
                changes = fewer
        except SpecError:
            continue
    return changes


def leave_out(baseline: Any, parts: Mapping[str, Changes]) -> tuple[Any, dict[str, Changes]]:
    """All parts together, and arms that lack one each.

    Returns:
        The configuration with every part, and `no-<part>` -> what leads from it to the same
        without the part.

    Raises:
        SpecError: two parts change one field, or parts that can't be together.
    """
    fields = [field for changes in parts.values() for field in changes]
    twice = sorted({field for field in fields if fields.count(field) > 1})
    if twice:
        raise SpecError([f"{field} is changed by more than one part" for field in twice])
    whole = apply(baseline, {f: v for changes in parts.values() for f, v in changes.items()})
    arms, faults = {}, []
    for part in parts:
        rest = {f: v for name, c in parts.items() if name != part for f, v in c.items()}
        try:
            arms[f"no-{part}"] = changes_between(whole, apply(baseline, rest))
        except SpecError as error:
            faults += [f"without {part}: {fault}" for fault in error.faults]
    if faults:
        raise SpecError(faults)
    return whole, arms


def unique_name(field: str, value: Any, taken: Mapping[str, Any]) -> str:
    """A name for an arm that sets a field: with as many of its last words as it needs."""
    words = field.split(".")
    for count in range(1, len(words) + 1):
        name = _name("-".join([*words[-count:], str(value)]))
        if name not in taken:
            break
    return name


def _words(fields: Sequence[str]) -> list[str]:
    """The last words of fields; whole fields where two have the same."""
    last = [field.rpartition(".")[2] for field in fields]
    return [
        word if last.count(word) == 1 else field.replace(".", "_")
        for word, field in zip(last, fields, strict=True)
    ]


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_+-]+", "_", text).strip("_")
