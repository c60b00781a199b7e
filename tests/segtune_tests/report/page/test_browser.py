"""The page in a browser: every figure drawn, in both themes, without a word or a request.

One browser looks at everything once: starting it is what takes time.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.devtools import CHROMIUM, WITHOUT, chromium
from support.report_tables import write_ablation, write_search

from segtune.report import build
from segtune.report.page.look import DARK, LIGHT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
ALL_DRAWN = "document.documentElement.dataset.drawn === 'all'"
ALL_DARK = f"""[...document.querySelectorAll('.plot')].every(
    (p) => p._fullLayout.font.color === '{DARK["ink"]}')"""
FIGURES = """[...document.querySelectorAll('.plot')].map((p) => ({
    id: p.id, drawn: p.classList.contains('js-plotly-plot'),
    marks: p.querySelectorAll('path.point, path.js-line, path.box, .bars path, .hm image').length,
    ink: p._fullLayout?.font.color, wide: p.querySelector('.main-svg')?.clientWidth || 0,
    room: p.clientWidth,
}))"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
SCROLLING = """[...document.querySelectorAll('.table')]
    .filter((t) => t.scrollWidth > t.clientWidth + 1).map((t) => t.innerText.slice(0, 60))"""
WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
HIDE_LORA = """(() => {
    const key = document.querySelector('button.key[data-group="lora"]');
    const shown = () => [...key.closest('.part').querySelectorAll('.js-plotly-plot')]
        .flatMap((p) => p.data).filter((t) => t.legendgroup === 'lora').map((t) => t.visible);
    const before = shown();
    key.click();
    return [before, shown(), key.getAttribute('aria-pressed')];
})()"""

SORTED = """(() => {
    const box = [...document.querySelectorAll('.table')].find((t) => t.innerText.includes('NSD'));
    const k = [...box.querySelectorAll('th')].findIndex((h) => h.innerText.startsWith('ASSD'));
    const values = () => [...box.querySelectorAll('tbody tr')]
        .map((r) => r.cells[k].querySelector('bdi').innerText);
    box.querySelectorAll('th')[k].click();
    const down = values();
    box.querySelectorAll('th')[k].click();
    return [down, values()];
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    write_ablation(folder)
    write_search(folder, trials=24)
    return build(folder, ["methods", "rank"], folder / "report.html")


@pytest.fixture(scope="module")
def seen(page: Path) -> dict[str, Any]:
    """What a browser shows: on a wide light screen, then dark, printed, and on a phone."""

    async def look() -> dict[str, Any]:
        found: dict[str, Any] = {}
        async with chromium() as tab:
            await tab.open(page.as_uri())
            await tab.until(ALL_DRAWN)
            found["light"] = await tab.evaluate(FIGURES), await tab.evaluate(BACKGROUND)
            found["scrolling tables"] = await tab.evaluate(SCROLLING)
            await tab.theme("dark")
            await tab.until(ALL_DARK)
            found["switched"] = await tab.evaluate(FIGURES), await tab.evaluate(BACKGROUND)
            await tab.evaluate("dispatchEvent(new Event('beforeprint'))")
            found["printed"] = await tab.evaluate(FIGURES)
            await tab.evaluate("dispatchEvent(new Event('afterprint'))")
            found["after printing"] = await tab.evaluate(FIGURES)
            found["sorted"] = await tab.evaluate(SORTED)
            found["legend"] = await tab.evaluate(HIDE_LORA)
            await tab.open(page.as_uri(), width=400, dark=True)
            await tab.until(ALL_DRAWN)
            found["dark phone"] = await tab.evaluate(FIGURES), await tab.evaluate(BACKGROUND)
            found["widths"] = await tab.evaluate(
                "[document.documentElement.scrollWidth, innerWidth]"
            )
            found["asked"], found["complaints"] = tab.asked, tab.complaints
        return found

    return asyncio.run(look())


def rgb(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


@pytest.mark.parametrize(
    ("screen", "theme"), [("light", LIGHT), ("switched", DARK), ("dark phone", DARK)]
)
def test_every_figure_is_drawn_in_the_theme(
    page: Path, seen: dict[str, Any], screen: str, theme: dict[str, str]
) -> None:
    figures, background = seen[screen]
    assert len(figures) == page.read_text().count("data-plot=") > 20
    assert [f["id"] for f in figures if not f["drawn"] or f["marks"] == 0] == []
    assert {f["ink"] for f in figures} == {theme["ink"]}
    assert background == rgb(theme["paper"])


def test_nothing_is_asked_for_and_nothing_complains(page: Path, seen: dict[str, Any]) -> None:
    assert set(seen["asked"]) == {page.as_uri()}
    assert seen["complaints"] == []


def test_a_phone_scrolls_in_one_direction_only(seen: dict[str, Any]) -> None:
    page_width, screen = seen["widths"]
    assert page_width <= screen == 400
    assert all(0 < f["wide"] <= f["room"] + 1 <= 400 for f in seen["dark phone"][0])


def test_a_wide_page_needs_no_scrolling_table(seen: dict[str, Any]) -> None:
    assert seen["scrolling tables"] == []


def test_a_click_on_a_heading_sorts_numbers_as_numbers(seen: dict[str, Any]) -> None:
    down, up = ([float(text) for text in column] for column in seen["sorted"])
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert min(up) < 10 < max(up)


def test_a_legend_entry_hides_its_arm_in_all_figures_of_its_part(seen: dict[str, Any]) -> None:
    before, after, pressed = seen["legend"]
    assert before
    assert False not in before
    assert set(after) == {False}
    assert pressed == "false"


def test_paper_is_light_whatever_the_screen(seen: dict[str, Any]) -> None:
    assert {f["ink"] for f in seen["printed"]} == {LIGHT["ink"]}
    assert {f["ink"] for f in seen["after printing"]} == {DARK["ink"]}
