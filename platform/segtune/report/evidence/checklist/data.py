"""Questions about the data: which, how many, how divided, how often each class occurs."""

from collections.abc import Iterator, Mapping

from segtune.report.evidence.checklist.item import METRICS_RELOADED, Item, Material
from segtune.report.evidence.checklist.record import images_text, settings, synthetic, unique
from segtune.report.evidence.objections.label_noise import floors, floors_text
from segtune.report.page.text import changes_text, count, listing, some
from segtune.results.data_facts import SetFacts, SplitFacts

_HASH_DIGITS = 16
_DESCRIBE = "segtune data describe STUDY counts them, where the data lie."
_RENDERED = "Rendered scenes"


def data_items(of: Material) -> Iterator[Item]:
    """In the order in which they are asked."""
    yield _which(of)
    yield _how_many(of)
    yield Item(
        question="Who are the patients: age, sex, disease, hospital, camera or scanner?",
        source="CLAIM 36, MI-CLAIM 1",
        answer=f"Nobody: {_RENDERED.lower()}." if synthetic(of.rows) else "",
        lacking="" if synthetic(of.rows) else "Say it in the paper, for each split.",
    )
    yield _assigned(of)
    yield _shared(of)
    yield _prevalence(of)
    yield Item(
        question="How was the truth made, by whom, and with what tool?",
        source="CLAIM 14, 16, 17",
        answer=f"{_RENDERED} know their masks: they are exact." if synthetic(of.rows) else "",
        lacking=""
        if synthetic(of.rows)
        else "Say who drew the masks, with what training, and who looked them over.",
    )
    yield _annotators(of)
    yield _prepared(of)
    yield _planned(of)


def _which(of: Material) -> Item:
    names = sorted(settings(of.rows, "data.name"))
    # A seed of a cross-validation has those of all its folds.
    known = {h for text in unique(of.rows.trials["data_hash"]) for h in text.split()}
    hashes = [h[:_HASH_DIGITS] for h in sorted(known)]
    external = sorted(settings(of.rows, "evaluation.external") - {"None"})
    answer = ""
    if names:
        answer = (
            f"{listing(names)}, content hash {some(hashes, 'hash', 'hashes') or 'not recorded'}"
        )
        answer += f"; external: {listing(external)}." if external else "."
    return Item(
        question="Which data were used, and exactly which version of them?",
        source="CLAIM 7, MI-CLAIM 2-3",
        answer=answer,
        lacking=""
        if synthetic(of.rows)
        else "Where and when they were collected, and under which licence.",
    )


def _how_many(of: Material) -> Item:
    left_out = "What was left out before, and why."
    if of.sets:
        answer = f"{'. '.join(map(_counts, of.sets))}."
        lacking = "" if synthetic(of.rows) else left_out
    else:
        answer = f"Scored one by one: {images_text(of.rows)}."
        lacking = f"Images and patients of train: {_DESCRIBE} {left_out}"
    return Item(
        question="How many patients and images are in each split, and how many were left out?",
        source="CLAIM 35",
        answer=answer,
        lacking=lacking,
    )


def _counts(one: SetFacts) -> str:
    splits = listing([f"{split} {_images(one, n)}" for split, n in one.splits.items()])
    sizes = list(one.sizes)
    size = f"images of {sizes[0]}" if len(sizes) == 1 else f"{len(sizes)} sizes of images"
    return f"{one.name}{' (external)' if one.role == 'external' else ''}: {splits}; {size}"


def _images(one: SetFacts, n: SplitFacts) -> str:
    images = count(n.images, "image")
    return f"{images} of {count(n.patients, 'patient')}" if one.names_patients else images


def _assigned(of: Material) -> Item:
    given = of.config.get("data")
    if not isinstance(given, Mapping):
        return Item(question=_HOW_ASSIGNED, source="CLAIM 19")
    fields = {k: v for k, v in given.items() if k != "name"}
    parts = [f"By the reader of {given.get('name')}, fixed and hashed ({changes_text(fields)})."]
    if of.rows.folds is not None:
        parts.append(
            f"Train and val are dealt out anew to {of.rows.folds} folds, by patient; test stays."
        )
    if (share := of.config.get("train_share", 1.0)) != 1.0:
        parts.append(f"Of train {share:g} of the patients are used.")
    return Item(question=_HOW_ASSIGNED, source="CLAIM 19", answer=" ".join(parts))


_HOW_ASSIGNED = "How were images assigned to train, val and test?"


def _shared(of: Material) -> Item:
    question = "Is any patient, or any image, in two splits?"
    source = "CLAIM 20, MI-CLAIM 2-3"
    refused = (
        "A run refuses data whose test (or external set) shares an image with train or val, byte "
        "for byte."
    )
    if not of.sets:
        return Item(
            question=question,
            source=source,
            answer=f"{refused} {_overlap(of)}".strip(),
            lacking=f"Counts for every pair of splits, train among them: {_DESCRIBE}",
        )
    found, unnamed = [], []
    pairs = [(one, pair) for one in of.sets for pair in one.shared]
    for one, pair in pairs:
        if not pair.images and not (pair.patients and one.names_patients):
            continue
        patients = "" if not one.names_patients else f" and {count(pair.patients or 0, 'patient')}"
        found.append(f"{listing([*pair.splits])} share {count(pair.images, 'image')}{patients}")
    unnamed = [one.name for one in of.sets if not one.names_patients]
    unlike = [p for one, p in pairs if p.patients is None and one.names_patients]
    compared = "image (byte for byte)" if unnamed else "patient and no image (byte for byte)"
    answer = f"{'; '.join(found)}." if found else f"No {compared} is in two splits. {refused}"
    lacking = [
        f"Nothing says which images of {name} are of one patient: each counts as a patient."
        for name in unnamed
    ]
    if unlike:
        lacking.append("Whether the external set has patients of train or val: names may differ.")
    return Item(question=question, source=source, answer=answer, lacking=" ".join(lacking))


def _overlap(of: Material) -> str:
    """Whether val and test share a patient, as far as single images were scored."""
    images = of.rows.single_images
    val, test = (
        set(images.loc[images["split"] == split, "patient_id"].dropna())
        for split in ("val", "test")
    )
    if not (val and test):
        return ""
    both = val & test
    return f"Val and test share {count(len(both), 'patient')} by name."


def _prevalence(of: Material) -> Item:
    return Item(
        question="How often does each class occur, in images and in pixels, in each split?",
        source=f"{METRICS_RELOADED} FP4.2, CLAIM 36",
        answer=" ".join(
            f"{_classes(one, s, n)}." for one in of.sets for s, n in one.splits.items()
        ),
        lacking="" if of.sets else _DESCRIBE,
    )


def _classes(one: SetFacts, split: str, n: SplitFacts) -> str:
    where = "external" if one.role == "external" else split
    classes = [
        f"{name} in {labelled} of {n.images} images ({100 * n.share[name]:.2g} % of pixels)"
        for name, labelled in n.labelled.items()
    ]
    return f"{where[0].upper()}{where[1:]}: {listing(classes)}"


def _annotators(of: Material) -> Item:
    measure = of.tested.measure(of.rows.first_score.metric, "test")
    found = () if measure is None else floors(of.rows, measure)
    noise = of.rows.label_noise
    drawn = noise is not None and any(level.kind == "second" for level in noise.levels)
    return Item(
        question="How much do annotators differ?",
        source="CLAIM 18",
        answer=floors_text(found, measure) if measure is not None else "",
        lacking=""
        if found and drawn
        else "Masks of a second annotator: segtune data noise STUDY --second DIR; without such, "
        "--shift says what outlines that are some pixels off would make.",
    )


def _prepared(of: Material) -> Item:
    system, augment = of.config.get("system"), of.config.get("augment")
    found = []
    if isinstance(system, Mapping) and isinstance(side := system.get("image_size"), int):
        found.append(f"Images are resized to {side} x {side} pixels.")
    if isinstance(augment, Mapping):
        used = {k: v for k, v in augment.items() if isinstance(v, float) and 0 < v <= 1}
        kinds = [name for name in _KINDS_OF_AUGMENTATION if name in used]
        shown = changes_text({name: used[name] for name in kinds})
        found.append(f"Training images are augmented: {shown}." if kinds else "No augmentation.")
    return Item(
        question="How were images prepared and augmented?",
        source="CLAIM 9, MI-CLAIM 2-3",
        answer=" ".join(found),
    )


_KINDS_OF_AUGMENTATION = (
    "flip", "rotate", "elastic", "crop", "brightness", "contrast", "saturation", "hue", "gamma",
    "spots", "blur", "noise",
)  # fmt: skip


def _planned(of: Material) -> Item:
    first = of.comparisons[0] if of.comparisons else None
    differences = [] if first is None else [d for d in first.differences if d.seeds]
    found = ""
    if differences:
        seeds, patients = max(len(d.seeds) for d in differences), differences[0].patients
        found = f"Compared with {count(seeds, 'seed')}"
        found += f" and {count(patients, 'test patient')}." if patients else "."
    return Item(
        question="How large is the sample, and was that planned?",
        source="CLAIM 21",
        answer=found,
        lacking="Whether it was planned: segtune plan STUDY says beforehand what seeds and "
        "patients a verdict takes.",
    )
