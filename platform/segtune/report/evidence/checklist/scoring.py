"""Questions about metrics, uncertainty, failures and limits."""

from collections.abc import Iterator

from segtune.report.evidence.checklist.empty_masks import empty_masks
from segtune.report.evidence.checklist.item import METRICS_RELOADED, Item, Material
from segtune.report.evidence.differences.margins import changed_margins, margin_text
from segtune.report.evidence.stats import MIN_PATIENTS, MIN_SEEDS
from segtune.report.page.text import count, listing, percent, some
from segtune.results.measures import Measure

_MAPS = {"image", "depth", "truth", "prediction"}
"""Kinds of pictures that are no maps of a system's own."""
_OF_UNCERTAINTY = ("error_auroc", "errors_found")


def scoring_items(of: Material) -> Iterator[Item]:
    """In the order in which they are asked."""
    measures = of.tested.measures("test")
    yield _metrics(of, measures)
    yield _boundaries(measures)
    yield Item(
        question="How do empty masks count?",
        source=METRICS_RELOADED,
        answer=empty_masks(of.rows) if len(of.rows.scores) else "",
    )
    yield _averaged(of, measures)
    yield _uncertainty(of)
    yield _corrected(of)
    yield _elsewhere(of)
    yield _robust(of)
    yield _failures(of)
    yield _explained(of)
    yield Item(
        question="What limits the conclusions?",
        source="CLAIM 40",
        answer=f"Threats to validity: {listing([c.title for c in of.caveats])}."
        if of.caveats
        else "The study's own numbers raise no objection." * bool(of.comparisons),
    )


def _metrics(of: Material, measures: tuple[Measure, ...]) -> Item:
    shown = [f"{m.label}, {m.protocol}, masks of {m.masks}" for m in measures]
    primary = of.rows.first_score.metric
    name = next((m.name for m in measures if m.metric == primary), primary)
    return Item(
        question="Which metrics, by which definition and protocol, and which one decides?",
        source=f"CLAIM 28, MI-CLAIM 4, {METRICS_RELOADED}",
        answer=f"{name} decides. Shown: {'; '.join(shown)}. Definitions: How to read this."
        if shown
        else "",
        lacking="Why this metric suits the clinical task." if shown else "Nothing was tested yet.",
    )


def _boundaries(measures: tuple[Measure, ...]) -> Item:
    overlap = [m.name for m in measures if m.is_fraction]
    distance = [m.name for m in measures if not m.is_fraction]
    answer = ""
    if measures:
        answer = (
            f"Yes: {listing(overlap)} beside {listing(distance)}."
            if overlap and distance
            else f"No: {listing(overlap or distance)} alone."
        )
    return Item(
        question="Is an overlap shown together with a measure of boundaries?",
        source=f"{METRICS_RELOADED} FP2.1",
        answer=answer,
        lacking="" if overlap and distance else "evaluation.metrics can have both.",
    )


def _averaged(of: Material, measures: tuple[Measure, ...]) -> Item:
    per_case = any("per_case" in m.protocol for m in measures)
    one = "case" if per_case else "image"
    order = f"{one}s"
    if of.rows.weights == "patients":
        order = f"a patient's {one}s and over patients (on test; on val over {one}s)"
    answer = (
        f"Per {one} and class, then over {order}, "
        "then over classes (macro); each class has its own row. Intervals and tests take whole "
        "patients, so that images of one patient count as one."
        if measures
        else ""
    )
    return Item(
        question="How are images, classes and patients averaged?",
        source=METRICS_RELOADED,
        answer=answer,
    )


def _uncertainty(of: Material) -> Item:
    first = of.comparisons[0] if of.comparisons else None
    differences = [] if first is None else [d for d in first.differences if d.seeds]
    if not differences:
        return Item(
            question=_HOW_SURE,
            source="CLAIM 29, 37, MI-CLAIM 4",
            lacking="Arms that were tested with the baseline's seeds.",
        )
    seeds, patients = min(len(d.seeds) for d in differences), differences[0].patients
    found = f"95 % intervals over {count(seeds, 'seed')} (Student's t)"
    if patients:
        found += f" and over {count(patients, 'test patient')} (bootstrap)"
    found += "; verdicts are of both at once, paired by seed and patient."
    few = []
    if seeds < MIN_SEEDS:
        few.append(f"{MIN_SEEDS} seeds")
    if patients < MIN_PATIENTS:
        few.append(f"{MIN_PATIENTS} patients")
    return Item(
        question=_HOW_SURE,
        source="CLAIM 29, 37, MI-CLAIM 4",
        answer=found,
        lacking=f"A test takes at least {listing(few)}." if few else "",
    )


_HOW_SURE = "How sure are the numbers, and is the comparison tested?"


def _corrected(of: Material) -> Item:
    compared = [c for c in of.comparisons if c.differences]
    answer = ""
    if compared:
        arms = max(len(c.differences) for c in compared)
        further = len(compared) - 1
        answer = (
            f"Holm's correction over {count(arms, 'arm')} within a metric, intervals with "
            f"Bonferroni's; {compared[0].measure.name} decides"
        )
        answer += (
            f", and {count(further, 'further metric')} {'is' if further == 1 else 'are'} not "
            "corrected for together with it."
            if further
            else "."
        )
        if of.rows.looks:
            looks = listing([str(seeds) for seeds in of.rows.looks])
            answer += (
                f" Verdicts are looked at after {looks} seeds, which a group-sequential test "
                "(Pocock's spending function) allows for."
            )
        if of.rows.margin:
            changed, _ = changed_margins(of.rows)
            answer += f" {_margins(of)} {changed}".rstrip()
    return Item(
        question="Is it allowed for that several arms and metrics are compared?",
        source="CLAIM 29",
        answer=answer,
    )


def _margins(of: Material) -> str:
    names = [
        f"{c.measure.name} {margin_text(c.margin, c.measure)}"
        for c in of.comparisons
        if c.margin is not None
    ]
    return f"Margin: {listing(names)}." if names else ""


def _elsewhere(of: Material) -> Item:
    external = [one for one in of.sets if one.role == "external"]
    images = of.rows.single_images
    there = images[images["split"] == "external"]
    found = []
    if len(there) or (of.rows.scores["split"] == "external").any():
        names = f" ({listing([one.name for one in external])})" if external else ""
        n = f": {count(there['sample_id'].nunique(), 'image')}" if len(there) else ""
        found.append(f"Tested once on an external set{names}{n}, in no choice.")
    table = of.rows.evaluations
    if len(table):
        own = set(of.rows.trials["data_hash"].dropna())
        others = sorted({str(d) for d in table.loc[~table["data_hash"].isin(own), "data"]})
        if others:
            found.append(f"Evaluated afterwards on {listing(others)}.")
    return Item(
        question="Does it hold on data from elsewhere?",
        source="CLAIM 33, MI-CLAIM 1",
        answer=" ".join(found),
        lacking="" if found else "Set evaluation.external, or run segtune evaluate --data.",
    )


def _robust(of: Material) -> Item:
    found = []
    tested = of.rows.scored[of.rows.scored["split"] == "test"]
    sizes = sorted({str(r) for r in tested["resolution"]})
    if len(sizes) > 1:
        found.append(f"Scored on masks of {len(sizes)} sizes ({listing(sizes)}).")
    if any(d.p is not None for c in of.comparisons[:1] for d in c.differences):
        carried = [c for c in of.caveats if c.title.startswith("a single patient")]
        found.append(
            f"Single patients, images and seeds left out: {carried[0].text}"
            if carried
            else "Leaving out the single patients, images and seeds that move a difference most "
            "changes no verdict."
        )
    unseen = [c.text for c in of.caveats if c.title.startswith("not checked without")]
    return Item(
        question="How robust are the results: without single patients, with other settings?",
        source="CLAIM 30, MI-CLAIM 5",
        answer=" ".join(found),
        lacking=" ".join(unseen)
        if found
        else "More seeds and patients, or segtune evaluate with other settings.",
    )


def _failures(of: Material) -> Item:
    failed = [f"{f.arm} {f.failed} of {f.failed + f.finished}" for f in of.failures if f.failed]
    odd = [f"{f.arm} seed {s.seed}" for f in of.failures for s in f.seeds]
    patients = [f"{f.arm} {p.patient}" for f in of.failures for p in f.patients]
    zeros = [f"{f.arm} {percent(f.zeros)}" for f in of.failures if f.zeros is not None]
    found = []
    if of.failures:
        found = [
            f"Trainings that ended in an error: {some(failed, 'arm') or 'none'}.",
            f"Trainings far below their arm's others: {some(odd, 'training') or 'none'}.",
            f"Patients far from the others: {some(patients, 'patient') or 'none'}.",
        ]
        if zeros:
            found.append(f"Share of images and classes that scored 0: {some(zeros, 'arm')}.")
    if len(of.rows.pictures):
        found.append("Best, median and worst images are shown with their errors.")
    return Item(
        question="Where and how does it fail?",
        source="CLAIM 39, MI-CLAIM 5",
        answer=" ".join(found),
        lacking="" if found else "Nothing was tested yet.",
    )


def _explained(of: Material) -> Item:
    kinds = sorted({str(k) for k in of.rows.pictures["kind"].unique()} - _MAPS)
    measured = sorted({str(m) for m in of.rows.scored["metric"]} & set(_OF_UNCERTAINTY))
    found = []
    if kinds:
        found.append(f"Maps of the network's own are shown: {listing(kinds)}.")
    if measured:
        found.append(f"Whether the network is unsure where it is wrong: {listing(measured)}.")
    return Item(
        question="Can a prediction be looked into: saliency, uncertainty?",
        source="CLAIM 31, MI-CLAIM 5",
        answer=" ".join(found),
        lacking="" if found else "Nothing of the kind was computed.",
    )
