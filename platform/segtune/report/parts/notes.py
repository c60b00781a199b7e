"""How to read a section: where each number comes from, and how sure it is."""

from segtune.report.evidence.checklist.empty_masks import empty_masks
from segtune.report.evidence.patients import DRAWS
from segtune.report.evidence.stats import MIN_EFFECTIVE, MIN_PATIENTS, MIN_SEEDS
from segtune.report.parts.searches.importance import MIN_TRIALS
from segtune.results.study_rows import StudyRows
from segtune.results.study_scores import StudyScores

_PIXELS = " (between border pixels, in pixels; per image, then the mean over images)"
OWN_PIXELS = "image_px"
_PROTOCOLS = {
    "per_image": " (per image, then the mean over images)",
    "per_class_px": _PIXELS,
    "pooled": _PIXELS,
    "max_of_directed": _PIXELS,
    OWN_PIXELS: " (in pixels of the image itself; per image, then the mean over images)",
}


def notes(study: StudyScores) -> tuple[tuple[str, str], ...]:
    """(Term, meaning), in the order of the page."""
    rows = study.rows
    split = "test" if (rows.scores["split"] == "test").any() else "val"
    found = [
        (
            "Which epoch",
            f"Every trial is judged at the epoch with the {rows.selected_by} on val. Arms of an "
            "ablation are tested once, with the weights of that epoch; search trials never see "
            "test.",
        ),
    ]
    for measure in study.measures(split):
        others = _others(rows, measure.metric, measure.protocol)
        found.append(
            (
                measure.label,
                f"{measure.definition} Protocol {measure.protocol}"
                f"{_PROTOCOLS.get(measure.protocol, '')}, masks of "
                f"{measure.masks}.{others}",
            )
        )
    if any(m.unit == "px" and m.protocol != OWN_PIXELS for m in study.measures(split)):
        found.append(
            (
                "Distances and the shape of the masks",
                "Pixels are those of the masks. Masks of another shape than their image's squash "
                "it (a pixel of a 16:9 frame on square masks counts 1.78 times as much one way as "
                f"the other): the protocol {OWN_PIXELS}, under Every protocol where it was scored, "
                "counts pixels of the image itself, whatever the masks.",
            )
        )
    if split in study.stacked:
        found.append(
            (
                "Dice, stacked",
                "An image's classes laid side by side as one mask, per image, then the mean over "
                "images: what D2GPLand and SRFT-GaLore report, but for their smoothing term.",
            )
        )
    found += [
        ("Macro", "Mean over the foreground classes; pooled: all foreground as one mask."),
        *_weights(rows),
        ("Empty masks", empty_masks(rows)),
        (
            "95 % interval over seeds",
            "Mean plus and minus Student's t over the seeds. It says how much the result varies "
            "between trainings on these data, not between patients; limits beyond what a metric "
            "can reach are a sign of too few seeds. With one seed there is none. p: paired t test.",
        ),
        (
            "Paired difference",
            "Arm minus baseline within each seed, so that what a seed does to both cancels.",
        ),
        (
            "95 % interval over patients",
            "The same score or difference, with whole test patients drawn "
            f"{DRAWS:,} times with replacement (fixed seed), the same patients for all arms; "
            "percentiles widened for few patients (Hesterberg 2015). It says how much the result "
            "depends on the test patients, with these trainings given. Its p: permutation of the "
            "signs of the patients' differences. Both from 6 patients on.",
        ),
        (
            "95 % interval over both, and the verdict",
            "Over seeds alone a difference may be the test patients', over patients alone it may "
            "be the seeds'. Here it has to show over seeds, over patients and over both, so that "
            "it should show again with other seeds and other patients: by t tests of either alone, "
            "and by a quasi-F test of both (Clark 1973), in which what a seed does on a patient "
            "beyond both is counted once. Skewed differences of patients are allowed for (Johnson "
            "1978), and the most careful result is kept: of true nulls up to 6 in 100 are "
            "rejected, up to 10 where most patients are alike and a few very far off (simulated). "
            "p is of this test; Holm: corrected across all arms of a metric, and the intervals "
            "with Bonferroni's correction, so that they hold together. Better or worse: p < 0.05 "
            f"after the correction. Fewer than {MIN_SEEDS} seeds or {MIN_PATIENTS} patients give "
            "no p and no verdict, nor do patients with such unlike numbers of images that they "
            f"are worth fewer than {MIN_EFFECTIVE} equal ones (Kish 1965).",
        ),
        *_margin(rows),
        (
            "Effect size",
            "Hedges' g: the mean of the paired differences over their standard deviation, "
            "corrected for few of them; from 3 on.",
        ),
        (
            "Trials in no mean",
            "Means are over finished trials. Trials that run, failed, were pruned or cancelled are "
            "counted and listed. Finished trials of uncommitted code are kept apart where clean "
            "ones finished; where all are of uncommitted code they are averaged, and the head says "
            "so.",
        ),
        (
            "Time and memory",
            "Seconds leave out each trial's first step. The median is of whole steps; parts are "
            "means, since bases are refreshed once in many steps. Bytes are measured on the first "
            "worker; 1 MB is 1,000,000 bytes. Peak memory is what the device allocated at most on "
            "a GPU; on a CPU it is the largest resident size of the whole process, which hides "
            "differences of small networks.",
        ),
    ]
    if rows.kind == "search":
        found.append(
            (
                "Importance",
                "PED-ANOVA (optuna): which setting separates the best quarter of the trials from "
                f"the rest; from {MIN_TRIALS} finished trials on. It tells of the trials that were "
                "drawn, and a sampler draws more of what looked good.",
            )
        )
    return tuple(found)


def _weights(rows: StudyRows) -> tuple[tuple[str, str], ...]:
    if rows.weights == "images":
        return ()
    return (
        (
            "Patients weigh alike",
            "As the study asks: test scores, and differences of them, are means over patients, of "
            "each patient the mean over its images. Val, by which epochs are chosen, what was "
            "evaluated afterwards, and what is computed of a whole set at once are over images.",
        ),
    )


def _margin(rows: StudyRows) -> list[tuple[str, str]]:
    """What a verdict within a margin is; nothing without one."""
    if not rows.margin:
        return []
    return [
        (
            "As good, no worse, at most so much worse",
            "The margin is part of the study's definition. No worse: the difference over seeds and "
            "patients is shown to be above minus the margin in the direction of the score, "
            "p < 0.05 one-sided; as good: above minus and below plus the margin, both p < 0.05 "
            "(two one-sided tests, Schuirmann 1987: the same as a 90 % interval within the "
            "margin). Of arms that differ by exactly the margin some 5 in 100 are told wrongly, "
            "as of equal ones by the test of a difference. Holm's correction over the arms is made "
            "for each of the two. At most so much worse: the end of the 90 % interval, with "
            "Bonferroni's correction for the number of arms, rounded up.",
        )
    ]


def _others(rows: StudyRows, metric: str, shown: str) -> str:
    """The metric's other protocols in the tables."""
    of_metric = rows.scores[rows.scores["metric"] == metric]
    others = sorted({str(p) for p in of_metric["protocol"].unique()} - {shown})
    return f" Also in the tables: {', '.join(others)}." if others else ""
