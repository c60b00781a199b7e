"""Questions about networks, training, selection and the use of the test split."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from segtune.report.evidence.checklist.item import Item, Material
from segtune.report.evidence.checklist.record import status_text
from segtune.report.page.text import changes_text, count, listing, parameters, some
from segtune.results.study_rows import NO_WEIGHTS

_HASH_DIGITS = 16
_TESTED = ("test", "external")


def training_items(of: Material) -> Iterator[Item]:
    """In the order in which they are asked."""
    yield _network(of)
    yield _course(of)
    yield _how_many(of)
    yield _selected(of)
    yield _test_seen(of)
    yield _ensembles(of)


def _network(of: Material) -> Item:
    trials = of.tested.rows.of("arm")
    configs = [json.loads(text) for text in trials["config"].dropna().unique()]
    systems = sorted({_name(c, "system") for c in configs} - {""})
    methods = sorted({_name(c, "method") for c in configs} - {""})
    weights = sorted({str(h) for h in trials["weights_hash"].dropna()} - {NO_WEIGHTS})
    found = []
    if systems:
        found.append(f"Systems: {listing(systems)}; methods: {some(methods, 'method')}.")
    total = trials["total_parameters"].dropna()
    if len(total):
        low, high = (parameters(n / 1e6) for n in (total.min(), total.max()))
        found.append(f"Parameters: {low}." if low == high else f"Parameters: {low} to {high}.")
    if weights:
        found.append(f"Pretrained weights: hash {listing([h[:_HASH_DIGITS] for h in weights])}.")
    elif len(trials["weights_hash"].dropna()):
        found.append("It begins from no pretrained weights.")
    return Item(
        question="Which networks were trained, and from which weights do they begin?",
        source="CLAIM 22, 24",
        answer=" ".join(found),
    )


def _name(config: Mapping[str, Any], part: str) -> str:
    value = config.get(part)
    return str(value.get("name", "")) if isinstance(value, Mapping) else ""


def _course(of: Material) -> Item:
    found = list(of.budget.sentences[:2])
    optim, loss = of.config.get("optim"), (of.config.get("system") or {}).get("loss")
    if isinstance(optim, Mapping):
        found.append(f"Optimizer: {changes_text(optim)}.")
    if isinstance(loss, Mapping) and "name" in loss:
        found.append(f"Loss: {loss['name']}.")
    return Item(
        question="How were they trained: epochs, batches, rates, loss?",
        source="CLAIM 25",
        answer=" ".join(found) if of.config else "",
    )


def _how_many(of: Material) -> Item:
    trials = of.rows.trials
    tuning = [s for s in of.budget.sentences if s.startswith(("No arm", "Tuned", "Chosen"))]
    roles = {"arm": "of arms", "tune": "of tuning", "search": "of a search", "finalist": "of its "
             "finalists"}  # fmt: skip
    counts = trials["role"].value_counts().to_dict()
    shown = listing([f"{counts[r]} {words}" for r, words in roles.items() if counts.get(r)])
    seeds = sorted({int(s) for s in of.tested.rows.of("arm")["seed"].dropna()})
    kinds = f" ({shown})" if sum(map(bool, counts.values())) > 1 else ""
    told = f"{count(len(trials), 'training')}{kinds}: {status_text(trials)}."
    if of.rows.folds is not None:
        told += f" Each stands for {of.rows.folds}, one for each fold."
    if seeds:
        told += f" Seeds: {', '.join(map(str, seeds))}."
    return Item(
        question="How many networks were trained, with which seeds, and what was tuned?",
        source="CLAIM 25, MI-CLAIM 2-3",
        answer=" ".join([told, *tuning]),
    )


def _selected(of: Material) -> Item:
    found = [f"The epoch with the {of.rows.selected_by} on val, for every training alike."]
    if len(of.rows.of("tune")):
        found.append("Tuned settings: the candidate that was best by the same score on val.")
    if of.budget.searched:
        found.append(f"Settings: the best of {of.budget.searched} search trials, on val.")
    return Item(
        question="How was the network chosen that is reported?",
        source="CLAIM 26, MI-CLAIM 2-3",
        answer=" ".join(found),
    )


def _test_seen(of: Material) -> Item:
    scores = of.rows.scores
    tested = scores[scores["split"].isin(_TESTED)]
    epochs = tested.groupby("trial_id")["epoch"].nunique()
    chose = set(of.rows.trials.loc[of.rows.trials["role"].isin(("tune", "search")), "trial_id"])
    best = of.rows.trials.set_index("trial_id")["best_epoch"].dropna()
    at = tested.groupby("trial_id")["epoch"].max()
    both = at.index.intersection(best.index)
    elsewhere = sorted(both[at[both] != best[both]]) if of.rows.folds is None else []
    several, choosing = sorted(epochs.index[epochs > 1]), sorted(chose & set(epochs.index))
    found = []
    if several:
        found.append(
            f"No: {some([str(t) for t in several], 'trial')} were scored on test after several "
            "epochs."
        )
    elif elsewhere:
        found.append(
            f"Once, but {some([str(t) for t in elsewhere], 'trial')} at another epoch than the "
            "chosen one."
        )
    elif len(epochs):
        found.append(
            f"Once: each of {count(len(epochs), 'tested training')} was scored at one epoch alone, "
            "the chosen one."
        )
    if choosing:
        found.append(f"Trials that choose saw test: {some([str(t) for t in choosing], 'trial')}.")
    elif chose and len(epochs):
        found.append(f"None of {count(len(chose), 'tuning or search trial')} was.")
    if of.rows.looks and len(epochs):
        found.append(
            "Which arms got further seeds was decided by verdicts on test, which their tests allow "
            "for (Seeds by need)."
        )
    afterwards = of.rows.evaluations
    if len(afterwards):
        again = afterwards.loc[afterwards["split"] == "test", "evaluation"].nunique()
        if again:
            found.append(f"Test splits were scored {count(again, 'time')} more afterwards.")
    return Item(
        question="Was the test split looked at once only, after everything was chosen?",
        source="CLAIM 32, MI-CLAIM 2-3",
        answer=" ".join(found),
        lacking="" if found else "Nothing was tested yet.",
    )


def _ensembles(of: Material) -> Item:
    table = of.rows.evaluations
    names: list[str] = []
    if len(table):
        names = sorted({str(a) for a in table.loc[table["source"] == "ensemble", "arm"].dropna()})
    evaluation = of.config.get("evaluation")
    tta = evaluation.get("tta") if isinstance(evaluation, Mapping) else None
    found = [f"Afterwards: {listing(names)}." if names else "No."]
    if isinstance(tta, Mapping) and (tta.get("flips") or len(tta.get("scales") or ()) > 1):
        found.append(f"Each network sees an image several times (test-time): {changes_text(tta)}.")
    return Item(
        question="Are several networks, or several views of an image, combined?",
        source="CLAIM 27",
        answer=" ".join(found),
    )
