"""The model card of a published network, in the form of the Hugging Face hub."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from segtune.commands.exchange.on_record import OnRecord, Score
from segtune.results.data_facts import SetFacts

if TYPE_CHECKING:
    from segcore.systems.weight_files import WeightFile
    from segcore.training.restore import Restored

RENDERED = "synthetic_"
"""What names of data sets of rendered scenes begin with."""


def model_card(
    name: str,
    restored: "Restored",
    starts_from: Sequence["WeightFile"],
    record: OnRecord | None,
    licence: str | None,
) -> ModelCard:
    """What a reader must know of a network before it is used.

    Args:
        name: of the network.
        restored: it.
        starts_from: files of pretrained weights that it needs besides.
        record: what its study's tables say; None: nothing is on record.
        licence: that its publisher gives it; None: none is said.
    """
    data = str(restored.values["data"]["name"])
    about = ModelCardData(
        license=licence,
        library_name="segtune",
        pipeline_tag="image-segmentation",
        tags=["segmentation", restored.config.name, restored.method.name],
        base_model=[file.place for file in starts_from if file.on_hub] or None,
        model_name=name,
        eval_results=[_result(score, data) for score in ([] if record is None else record.scores)]
        or None,
    )
    body = "\n".join(_body(name, restored, starts_from, record, licence))
    return ModelCard(f"---\n{about.to_yaml()}\n---\n\n{body}\n")


def _result(score: Score, data: str) -> EvalResult:
    return EvalResult(
        task_type="image-segmentation",
        dataset_type=data,
        dataset_name=data if score.split == "test" else f"external to {data}",
        dataset_split=score.split,
        metric_type=f"{score.metric}.{score.protocol}",
        metric_name=f"{score.label}, masks {score.resolution}",
        metric_value=score.value,
    )


def _body(
    name: str,
    restored: "Restored",
    starts_from: Sequence["WeightFile"],
    record: OnRecord | None,
    licence: str | None,
) -> Iterator[str]:
    height, width = restored.config.input_size
    yield f"# {name}\n"
    yield (
        f"A `{restored.config.name}` that segments {', '.join(restored.classes.foreground)}, "
        f"adapted by `{restored.method.name}`; it sees images at {height} x {width} pixels.\n"
    )
    yield "```python"
    yield "from segcore.predict import Predictor\n"
    yield f'predictor = Predictor.from_pretrained("FOLDER")  # of {name}'
    depths = ", [depth]" if restored.config.needs_depth else ""
    yield f"(predicted,) = predictor([image]{depths})  # (H, W, 3) of uint8, RGB"
    yield f'predicted.mask("{restored.classes.foreground[0]}")'
    yield "```\n"
    yield from _data(restored, record)
    yield from _scores(record)
    yield from _took(record)
    yield from _licences(starts_from, licence)
    yield "## Limits\n"
    yield from (f"- {limit}" for limit in _limits(restored, record))


def _data(restored: "Restored", record: OnRecord | None) -> Iterator[str]:
    yield "## Data\n"
    sets: Sequence[SetFacts] = () if record is None else record.data
    if not sets:
        yield f"Trained on `{restored.values['data']['name']}`; what it holds was not counted.\n"
        return
    yield "| data set | split | images | patients |"
    yield "|---|---|---|---|"
    for one in sets:
        for split, facts in one.splits.items():
            patients = facts.patients if one.names_patients else "not known"
            yield f"| `{one.name}` ({one.role}) | {split} | {facts.images} | {patients} |"
    yield "\nTrain and val chose; test and external images were seen once, afterwards.\n"


def _scores(record: OnRecord | None) -> Iterator[str]:
    yield "## Scores\n"
    if record is None or not record.scores:
        yield "No score on test images is on record.\n"
        return
    yield "Macro over the classes; 95 % bootstrap intervals over patients.\n"
    yield "| split | metric | masks | score | interval | images |"
    yield "|---|---|---|---|---|---|"
    for score in record.scores:
        found = score.interval
        interval = "" if found is None else f"[{found.low:.3f}, {found.high:.3f}]"
        yield (
            f"| {score.split} | {score.label} | {score.resolution} | {score.value:.3f} "
            f"| {interval} | {score.images} |"
        )
    yield (
        f"\nOf one training, seed {record.trial['seed']}, of the study `{record.study}` "
        f"({record.question}) Another seed gives another score: the intervals are over patients "
        "alone.\n"
    )


def _took(record: OnRecord | None) -> Iterator[str]:
    if record is None:
        return
    yield "## What it took\n"
    yield from (f"- {name}: {told}" for name, told in record.costs.items())
    yield ""


def _licences(starts_from: Sequence["WeightFile"], licence: str | None) -> Iterator[str]:
    yield "## Licence\n"
    yield f"Of the trained tensors: {licence or 'not stated by who published them'}.\n"
    if not starts_from:
        yield "Nothing else is needed: what it started from comes with segtune (MIT) or is here.\n"
        return
    yield (
        "These pretrained weights are needed besides and not included; their own licences hold for "
        "them, and may hold for what was trained from them:\n"
    )
    yield "| weights | part | source | licence |"
    yield "|---|---|---|---|"
    for file in starts_from:
        about = file.published
        yield f"| {file.name} | `{file.field}` | {about.source} | {about.licence} |"
    yield ""


def _limits(restored: "Restored", record: OnRecord | None) -> Iterator[str]:
    data = str(restored.values["data"]["name"])
    yield "Research code. It is no medical device and was tested on no patient in use."
    if data.startswith(RENDERED):
        yield f"`{data}` is rendered: its scores say nothing about photographs or patients."
    if record is None:
        yield "It is no study's trial: nothing was compared."
        return
    if not any(score.split == "external" for score in record.scores):
        yield "It was tested on no data of another source."
    if record.trial["status"] != "finished":
        yield f"Its training is {record.trial['status']}, not finished."
    if record.trial["git_dirty"]:
        yield "It was trained by code with uncommitted changes."
    for one in record.data:
        for shared in one.shared:
            if shared.images or shared.patients:
                yield (
                    f"{' and '.join(shared.splits)} of `{one.name}` share {shared.images} images "
                    f"and {shared.patients or 'an unknown number of'} patients."
                )
