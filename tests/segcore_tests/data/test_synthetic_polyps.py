"""Rendered polyps: what a box alone is worth on them, and that they are there at any size."""

from pathlib import Path

import numpy as np
import pytest

from segcore.data.prompts import box_of, moved
from segcore.data.scenes import polyp_scene
from segcore.data.scenes.objects import BoxedObject
from segcore.data.scenes.polyp_scene import DOMAINS
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.testing import check_dataset


def small(tmp_path: Path, **fields: object) -> SyntheticPolyps:
    values = {"train": 4, "val": 2, "test": 2, "images_per_patient": 2, "size": 64}
    return SyntheticPolyps(**{**values, "root": str(tmp_path / "polyps"), **fields})  # type: ignore[arg-type]


def test_contract_and_patients(tmp_path: Path) -> None:
    config = small(tmp_path)
    check_dataset(config)
    data = config.open()
    assert data.classes.names == ("polyp",)
    patients = [source.patient_id for source in data.sources("train").values()]
    assert patients == ["traina000", "traina000", "traina001", "traina001"]
    sample = data.load("train", data.ids("train")[0], None)
    assert sample.labels_HW.any()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_scene_is_the_same_again_and_its_outline_at_any_size(
    domain: polyp_scene.DomainName,
) -> None:
    patient = polyp_scene.draw_patient(np.random.default_rng(3), DOMAINS[domain])
    image, mask = polyp_scene.render(patient, np.random.default_rng(4), 96)
    again, same = polyp_scene.render(patient, np.random.default_rng(4), 96)
    assert (image == again).all()
    assert (mask == same).all()
    _, large = polyp_scene.render(patient, np.random.default_rng(4), 288)
    assert (large[1::3, 1::3] == mask).mean() > 0.999, "the middles of the same pixels"


def test_domains_share_no_patient_and_look_different(tmp_path: Path) -> None:
    a = small(tmp_path / "a").open()
    b = small(tmp_path / "b", domain="b").open()
    assert not {s.patient_id for s in a.sources("test").values()} & {
        s.patient_id for s in b.sources("test").values()
    }
    colours = [
        np.mean([d.load("train", i, None).image_HW3.mean((0, 1)) for i in d.ids("train")], axis=0)
        for d in (a, b)
    ]
    assert np.abs(colours[0] - colours[1]).max() > 8


def test_a_box_does_not_solve_them() -> None:
    """Of exact boxes round polyps the ellipse has .90; here jittered ones leave room."""
    scores = []
    for who in range(40):
        patient = polyp_scene.draw_patient(np.random.default_rng((1, who)))
        _, mask = polyp_scene.render(patient, np.random.default_rng((1, who, 1)), 128)
        box = box_of(mask)
        assert box is not None
        jittered = moved(box, np.random.default_rng(who).uniform(-0.1, 0.1, 4))
        scores.append(BoxedObject(mask, jittered).dice(mask))
    own, filled, ellipse = np.mean(scores, axis=0)
    assert own == 1
    assert 0.65 < filled < ellipse < 0.84
