"""`segtune show`: what a study would run."""

import argparse

from rich.console import Console
from rich.table import Table

from segtune.changes import Changes, flatten
from segtune.commands.shared import changed_study, study_arguments
from segtune.spec import Ablation, Search, Study

HELP = "what a study would run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study and changes to it."""
    study_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the arms or the space, and the baseline field by field."""
    from segtune.check import check, check_name

    named = changed_study(args)
    check(named.study)
    check_name(named.name)
    console.print(named.description or named.study.question, "", sep="\n", highlight=False)
    table = Table(title=f"{named.name}: {_size(named.study)}", title_justify="left")
    if isinstance(named.study, Ablation):
        table.add_column("arm")
        table.add_column("changes to the baseline")
        if named.study.tune:
            table.add_column("tuned over")
        for arm, changes in named.study.all_arms().items():
            table.add_row(
                arm, _words(changes) or "(the baseline)", _words(named.study.tune.get(arm, {}))
            )
    else:
        table.add_column("field")
        table.add_column("searched in")
        for field, distribution in named.study.space.items():
            table.add_row(field, str(distribution))
    console.print(table)
    baseline = Table(title="baseline", title_justify="left", show_header=False, box=None)
    for field, value in flatten(named.study.baseline).items():
        baseline.add_row(field, repr(value))
    console.print(baseline)
    return 0


def _size(study: Study) -> str:
    if isinstance(study, Search):
        objectives = ", ".join(f"{o.direction} {o.metric}" for o in study.objectives)
        return f"search of {study.num_samples} trials by {study.sampler}: {objectives}"
    arms, tuning = len(study.all_arms()), len(list(study.tuning_trials()))
    first = f"{tuning} tuning trials, then " if tuning else ""
    seeds = ", ".join(str(seed) for seed in study.seeds)
    trials = f"{arms} arms x {len(study.seeds)} seeds = {arms * len(study.seeds)} trials"
    return f"{first}{trials} (seeds {seeds})"


def _words(changes: Changes) -> str:
    return ", ".join(f"{field} = {value}" for field, value in changes.items())
