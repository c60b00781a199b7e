"""`segtune publish`: a folder that predicts by itself, and a card that says what is on record."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from support.report_tables import DICE, write_ablation
from support.untrained import save

from segcore.classes import ClassSpec
from segcore.predict import Predictor
from segcore.presets import nano
from segtune.cli import main
from segtune.commands.exchange.on_record import Score, on_record
from segtune.results import tables
from segtune.results.storage import Place

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial with known scores; its network is one that nobody trained."""
    storage = tmp_path_factory.mktemp("results")
    write_ablation(storage, elsewhere=-0.1)
    folder = storage / "methods" / "train" / "galore-s0"
    folder.mkdir(parents=True)
    save(nano(), CLASSES, folder / "epoch-5")
    return folder


def test_a_published_folder_predicts_and_says_what_is_on_record(
    trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "galore"
    assert main(["publish", str(trial), "--to", str(folder), "--licence", "mit"]) == 0
    assert "Predictor.from_pretrained" in capsys.readouterr().out
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "best.safetensors",
        "config.json",
    ]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    depth = rng.integers(0, 256, (90, 120), dtype=np.uint8)
    (own,) = Predictor.load(trial, device="cpu")([image], [depth])
    (published,) = Predictor.from_pretrained(folder, device="cpu")([image], [depth])
    assert (own.labels_HW == published.labels_HW).all()
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "mit"
    assert card.data.library_name == "segtune"
    by_split = {
        result.dataset_split: result.metric_value
        for result in card.data.eval_results or ()
        if result.metric_type == "dice.per_image"
    }
    assert by_split["test"] == pytest.approx(DICE["galore"][0])
    assert by_split["external"] == pytest.approx(DICE["galore"][0] - 0.1)
    for told in (
        "| test | Dice, per_image |",
        "seed 0, of the study `methods`",
        "- Optimizer state: 9.1 MB",
        "- `synthetic_liver` is rendered",
        "what it holds was not counted",
        "comes with segtune",
    ):
        assert told in card.text, told


def test_intervals_are_of_the_score_that_is_recorded(tmp_path: Path) -> None:
    """As of a bootstrap by hand; none where the score is not the mean of these images."""
    write_ablation(tmp_path)
    trial = Place.of(str(tmp_path / "methods" / "train" / "galore-s0"))
    assert dice(trial).interval is None, "its recorded score is another number"
    images = tables.read(tmp_path, "methods", "images", trial_id="galore-s0").to_pandas()
    images = images[images["metric"] == "dice"]
    scores = tables.read(tmp_path, "methods", "scores", trial_id="galore-s0").to_pylist()
    macro = images.groupby("class_name")["value"].mean().mean()
    of_test = {"split": "test", "metric": "dice", "class_name": "macro"}
    changed = [s | {"value": macro} if s | of_test == s else s for s in scores]
    tables.write(tmp_path, "methods", "scores", changed)
    found = dice(trial).interval
    assert found is not None
    assert found.mean == pytest.approx(macro)
    by_patient = images.groupby(["patient_id", "class_name"])["value"]
    sums, counts = (
        x.unstack().fillna(0).to_numpy() for x in (by_patient.sum(), by_patient.count())
    )
    drawn = np.random.default_rng(1).integers(0, len(sums), (4000, len(sums)))
    with np.errstate(invalid="ignore"):  # a draw of patients without a ligament
        means = (sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)).mean(axis=1)
    low, high = np.nanpercentile(means, [2.5, 97.5])
    assert found.low <= low < macro < high <= found.high, "further out, for few patients"
    assert found.high - found.low < 2.5 * (high - low)


def dice(trial: Place) -> Score:
    """Its Dice on test."""
    record = on_record(trial)
    assert record is not None
    (score,) = (s for s in record.scores if (s.split, s.metric) == ("test", "dice"))
    return score


def test_a_checkpoint_of_no_study_has_no_scores(tmp_path: Path) -> None:
    save(nano(), CLASSES, tmp_path / "alone")
    assert main(["publish", str(tmp_path / "alone"), "--to", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "No score on test images is on record" in text
    assert "not stated by who published them" in text
    assert "nothing was compared" in text


@pytest.mark.parametrize(
    ("to", "more", "told"),
    [
        ("there", [], "is there already"),
        ("no/where", [], "is not a folder: make it first"),
        ("out", ["--public"], "--public is for the hub"),
        ("out", ["--licence", " "], "--licence is empty: name one, such as mit, or leave it out"),
        ("hub:galore", [], "give owner and name, such as hub:OWNER/NAME\nno token of the Hugging"),
    ],
)
def test_what_cannot_be_published_is_said(
    trial: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    to: str,
    more: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    (tmp_path / "there").mkdir()
    assert main(["publish", str(trial), "--to", to, *more]) == 2
    assert told in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_the_hub_gets_the_same_folder(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its client is asked for; whether the hub then does it is not tested."""
    asked: list[Any] = []

    class Hub:
        def create_repo(self, repository: str, **values: Any) -> str:
            asked.append((repository, values))
            return f"https://hub.example/{repository}"

        def upload_folder(self, *, folder_path: Path, **values: Any) -> None:
            asked.append((sorted(p.name for p in folder_path.iterdir()), values["repo_id"]))

    monkeypatch.setattr("huggingface_hub.get_token", lambda: "token")
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    assert main(["publish", str(trial), "--to", "hub:some/galore"]) == 0
    assert "https://hub.example/some/galore holds the network" in capsys.readouterr().out
    assert asked == [
        ("some/galore", {"private": True, "exist_ok": True}),
        (["README.md", "best.safetensors", "config.json"], "some/galore"),
    ]


def test_a_name_that_is_neither_a_folder_nor_on_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="results/no/where is no folder here"):
        Predictor.from_pretrained("results/no/where")
