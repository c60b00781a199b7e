"""Learning rates that are far from the head's: mostly a method's own, on a preset of another scale.

A difference between arms then is one of rates, not of methods.
"""

from collections.abc import Iterator

from segtune.study.overrides import Changes, SpecError, apply
from segtune.study.spec import Ablation, Study

MOST = 10.0
"""Times the head's rate."""


def unusual_rates(study: Study) -> list[str]:
    """One line for each arm that adapts pretrained weights at more than `MOST` times the head's
    rate; changes that are not in order are passed over.

    Args:
        study: whose configurations may say their rates: `config.method.rate(config.optim)`.
    """
    lines = []
    for arm, changes in _arms(study):
        try:
            config = apply(study.baseline, changes)
            rate, head = config.method.rate(config.optim), config.optim.lr
        except (SpecError, AttributeError):
            continue
        if rate is not None and rate > MOST * head:
            lines.append(
                f"{arm} adapts at {rate:g}, {rate / head:.0f} times the head's rate ({head:g}): "
                "leave method.lr out, or lower it, if that is not meant"
            )
    return lines


def _arms(study: Study) -> Iterator[tuple[str, Changes]]:
    if not isinstance(study, Ablation):
        yield "the baseline", {}
        return
    for arm, changes in study.all_arms().items():
        yield f"arm {arm}", changes
        for candidate in study.candidates(arm):
            told = ", ".join(f"{field} = {value}" for field, value in candidate.items())
            yield f"arm {arm} with {told}", {**changes, **candidate}
