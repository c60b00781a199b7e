"""Values that stand apart from the others of their group: a diverged training, one odd patient."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.025
"""Share of studies with normal values in which any is said to stand apart: seeds and patients are
looked at with this each, so one study in twenty hears of either."""
FEWEST = 3
"""Values that a group must have: of two nobody can say which one is off."""
_MOST = 0.2
"""Share of all values that may stand apart; from there on they are no exceptions."""
_TINY = 1e-18


def stand_apart(
    groups: Sequence[Sequence[float]], *, both_sides: bool = False, level: float = LEVEL
) -> tuple[tuple[int, int], ...]:
    """The values that lie too far below their group's other values to be chance.

    Of all values the one with the largest externally studentized residual is taken away, then the
    next, so that two do not hide one another; how many of them count is said by the last whose
    residual exceeds its limit (Bonferroni's over the values that are left). The spread is that of
    all groups, or of the value's own group without it where that is larger: one arm that varies
    more than the others is no row of failures.

    Simulated (`tests/segtune_tests/report/evidence/test_outliers.py`): of studies with normal
    values of one spread at most 3 in 100 have one; where each seed of an arm loses ten standard
    deviations with probability 1/10, it is found in 6 of 10 studies with two arms of 3 seeds that
    have such a seed, in 97 of 100 with 5.

    Source: generalized extreme studentized deviates, Rosner, Technometrics 25 (1983), 165-172.

    Args:
        groups: the values, a group for each arm.
        both_sides: look for values far above as well.
        level: share of studies with normal values in which one is found.

    Returns:
        (Group, place in it), the farthest first.
    """
    kept = [dict(enumerate(float(v) for v in group)) for group in groups]
    total, taken, count = sum(map(len, kept)), [], 0
    for _ in range(max(1, int(_MOST * total))):
        left = sum(map(len, kept))
        farthest, freedom = _farthest(kept, both_sides)
        if farthest is None:
            break
        t, group, place = farthest
        del kept[group][place]
        taken.append((group, place))
        tail = level / left / (2 if both_sides else 1)
        if t > stats.t.ppf(1 - tail, freedom):
            count = len(taken)
    return tuple(taken[:count])


def _farthest(
    kept: Sequence[dict[int, float]], both_sides: bool
) -> tuple[tuple[float, int, int] | None, int]:
    """The largest studentized residual with its group and place, and its degrees of freedom."""
    arrays = [np.array(list(group.values())) for group in kept]
    squares = sum(float(a.var()) * a.size for a in arrays if a.size > 1)
    freedom = sum(a.size - 1 for a in arrays if a.size > 1) - 1
    best: tuple[float, int, int] | None = None
    if freedom < 1:
        return None, freedom
    for k, (group, values) in enumerate(zip(kept, arrays, strict=True)):
        n = values.size
        if n < FEWEST:
            continue
        below = (values.sum() - values) / (n - 1) - values
        rest = np.maximum(squares - below**2 * (n - 1) / n, _TINY) / freedom
        own = [np.delete(values, i).var(ddof=1) for i in range(n)]
        t = below / np.sqrt(np.maximum(rest, own) * (1 + 1 / (n - 1)))
        t = np.abs(t) if both_sides else t
        i = int(np.argmax(t))
        if best is None or t[i] > best[0]:
            best = (float(t[i]), k, list(group)[i])
    return best, freedom
