"""Colours that everybody can tell apart, names without markup, labels that do not overlap."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from segtune.report.page.label_positions import text_positions
from segtune.report.page.look import (
    BASELINE_COLOR,
    COLORS,
    DARK,
    LIGHT,
    PART_COLORS,
    log_ticks,
    looks,
    name,
    plain,
    span,
)
from segtune.report.page.text import LONGEST_NAME

VISION = {
    "as most see": np.eye(3),
    "no long cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                      [-0.003882, -0.048116, 1.051998]],
    "no middle cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]],
    "no short cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                       [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
"""Linear RGB as seen with all cones, or without one kind: Machado et al., IEEE TVCG 15 (2009)."""
LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
       [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
LAB = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
       [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
"""Oklab, in which equal distances look equally different (Ottosson, 2020)."""
JUST_NOTICEABLE = 0.02


def linear(color: str) -> NDArray[np.float64]:
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """As WCAG defines it."""
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (light[1] + 0.05) / (light[0] + 0.05)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_arms_look_different_to_colour_blind_readers(vision: str) -> None:
    def seen(color: str) -> NDArray[np.float64]:
        rgb = np.clip(np.array(VISION[vision]) @ linear(color), 0, 1)
        return np.asarray(np.array(LAB) @ np.cbrt(np.array(LMS) @ rgb))

    for a, b in itertools.combinations((BASELINE_COLOR, *COLORS), 2):
        assert np.linalg.norm(seen(a) - seen(b)) > 2 * JUST_NOTICEABLE, (a, b)


@pytest.mark.parametrize("color", [BASELINE_COLOR, *COLORS, *PART_COLORS.values()])
def test_marks_stand_out_on_both_pages(color: str) -> None:
    """3:1 is what WCAG 2.2 asks of graphics (1.4.11), 4.5:1 of text."""
    assert contrast(color, LIGHT["paper"]) >= 3
    assert contrast(color, DARK["paper"]) >= 3
    assert min(contrast(t["ink"], t["paper"]) for t in (LIGHT, DARK)) >= 4.5


def test_more_arms_than_colours_differ_by_symbol_and_dash() -> None:
    arms = [f"arm{i}" for i in range(30)]
    found = looks(arms, "arm0")
    assert len(set(found.values())) == 30
    assert looks(arms[:3], "arm0").items() <= found.items()
    assert set(PART_COLORS.values()).isdisjoint(look.color for look in found.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("50% of %{x} & more", "50&#37; of &#37;{x} &amp; more"),
        ("a\u202egnp.exe\nb", "a gnp.exe b"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u2068\u05e9\u05dc\u05d5\u05dd\u2069"),
        ("\U0001f52c rank 4", "\U0001f52c rank 4"),
    ],
)
def test_names_from_outside_are_no_markup(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_long_names_keep_both_ends() -> None:
    shown = name("srft_galore-" + "x" * 300 + "-rank4")
    assert len(shown) == LONGEST_NAME
    assert shown.startswith("srft_galore-")
    assert shown.endswith("-rank4")


def test_every_arm_has_its_own_look() -> None:
    arms = [f"arm{i}" for i in range(30)]
    found = looks(["base", *arms], "base")
    assert found["base"].color == BASELINE_COLOR
    assert len({(look.color, look.symbol) for look in found.values()}) == 31


def test_labels_stay_apart_and_inside() -> None:
    close = text_positions([(0.5, 0.5), (0.5, 0.53)], ["galore", "srft_galore"], (300, 200))
    assert close[0] != close[1]
    assert "left" in text_positions([(0.98, 0.5)], ["srft_galore"], (300, 200))[0]
    beside = text_positions([(0.5, 0.5)], ["lora"], (300, 200), [(0.5, 0.2, 0.5, 0.8)])
    assert beside == ["middle right"]


def test_a_name_without_room_is_left_out_and_the_front_comes_first() -> None:
    pile = [(0.5, 0.5 + 0.002 * k) for k in range(30)]
    names = [f"arm_{k:02d}_with_rank_8" for k in range(30)]
    front = [k == 29 for k in range(30)]
    found = text_positions(pile, names, (300, 200), first=front)
    assert found[29]
    assert 1 < sum(map(bool, found)) < 10
    assert all(text_positions([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], names[:3], (600, 300)))


def test_an_axis_of_numbers_that_differ_by_rounding_alone_is_readable() -> None:
    assert span([0.36, 0.36 + 1e-16], 0.2) == pytest.approx([0.324, 0.396])
    assert span([1.0, 3.0], 0.5) == [0.0, 4.0]
    assert span([0.0, 0.0], 0.5) == [-1.0, 1.0]


def test_ticks_of_a_logarithmic_axis_are_round() -> None:
    assert log_ticks(9, 120)["ticktext"] == ["10", "20", "50", "100"]
