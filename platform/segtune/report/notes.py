"""How to read a section: where each number comes from and how sure it is."""

from segtune.report.importance import MIN_TRIALS
from segtune.report.load import StudyRows
from segtune.report.measures import choose
from segtune.report.stats import DRAWS
from segtune.report.summary import METRICS

_DEFINITIONS = {
    "dice": "twice the overlap over the sum of both areas; 1 is perfect.",
    "iou": "overlap over union; 1 is perfect.",
    "assd": "average symmetric surface distance: how far the two outlines are apart on average.",
    "hd95": "95th percentile of the distances between the two outlines.",
}


def notes(rows: StudyRows) -> tuple[tuple[str, str], ...]:
    """(Term, meaning), in the order of the page."""
    objective = rows.objectives[0].metric
    splits = "test" if (rows.scores["split"] == "test").any() else "val"
    found = [
        (
            "Which epoch",
            f"Every trial is judged at the epoch with the best macro {objective} on val. Arms of "
            "an ablation are tested once, with the weights of that epoch; search trials never see "
            "test.",
        ),
    ]
    for metric in METRICS:
        measure = choose(rows, metric, splits)
        if measure is not None:
            others = _others(rows, metric, measure.protocol)
            found.append(
                (
                    measure.label,
                    f"{_DEFINITIONS.get(metric, '')} Protocol {measure.protocol}, masks of "
                    f"{measure.resolution} x {measure.resolution} pixels.{others}",
                )
            )
    found += [
        ("Macro", "Mean over the foreground classes; pooled: all foreground as one mask."),
        (
            "Empty masks",
            "Whether an image with an empty mask defines a score is a matter of the protocol. An "
            "image that does not is left out of the mean and of n, never counted as 0 or as a "
            f"fixed penalty. {_defined(rows)}",
        ),
        (
            "95 % interval over seeds",
            "Mean plus and minus Student's t over the seeds. It says how much the result varies "
            "between trainings on these data, not between patients; limits beyond what a metric "
            "can reach are a sign of too few seeds. With one seed there is none.",
        ),
        (
            "Paired difference",
            "Arm minus baseline within each seed, so that what a seed does to both cancels. "
            "p: two-sided paired t test over seeds; Holm: corrected across all arms of a metric.",
        ),
        (
            "95 % interval over patients",
            f"Differences per image, averaged over seeds; whole patients drawn {DRAWS} times with "
            "replacement (percentiles, fixed seed), mean over images, then over classes. It says "
            "how much the result depends on the test patients, with these trainings given. Images "
            "that only one of the two arms defines are left out, so its centre may lie a little "
            "off the difference over seeds.",
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


def _others(rows: StudyRows, metric: str, shown: str) -> str:
    of_metric = rows.scores[rows.scores["metric"] == metric]
    others = sorted({str(p) for p in of_metric["protocol"].unique()} - {shown})
    return f" Also in the tables: {', '.join(others)}." if others else ""


def _defined(rows: StudyRows) -> str:
    """How many image scores are not a number, by metric, counted from the tables."""
    images = rows.images
    if images.empty:
        return ""
    undefined = images["value"].isna().groupby(images["metric"]).agg(["sum", "size"])
    undefined = undefined[undefined["sum"] > 0]
    if undefined.empty:
        return "Here every image defines every score."
    shown = [f"{metric} {row['sum']} of {row['size']}" for metric, row in undefined.iterrows()]
    return f"Here undefined, over all trials, images and classes: {', '.join(shown)}."
