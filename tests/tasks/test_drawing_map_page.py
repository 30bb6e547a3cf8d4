"""The map as a page: what it holds, and what it does in a real browser."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.seams.drawing_map_page import draw_map_html
from tasks.seams.map_points import PALETTE, MapPoints
from tests.tasks.map_sample import HOSTILE, points

BROWSER = "/usr/bin/chromium"
LONG_MILLISECONDS = 20_000


class Tags(HTMLParser):
    """Every tag and attribute that a browser would see, and the text of the page's data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.data = ""
        self.in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.in_data = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        self.data += data if self.in_data else ""

    def handle_endtag(self, tag: str) -> None:
        self.in_data = False


def seen(drawn: MapPoints) -> Tags:
    tags = Tags()
    tags.feed(draw_map_html(drawn))
    return tags


def test_a_page_is_one_file_and_the_same_for_the_same_points() -> None:
    assert draw_map_html(points()) == draw_map_html(points())
    tags = seen(points())
    assert {"src", "href", "action"}.isdisjoint(tags.attributes)
    assert {"link", "iframe", "form", "base"}.isdisjoint(tags.tags)


def test_text_from_books_is_no_markup() -> None:
    plain = replace(
        points(),
        titles=["t"] * 4,
        headings=["h"] * 4,
        quotations=["q"] * 4,
        strange_terms=[[]] * 4,
        cluster_terms=[[]] * 3,
        verdict=[],
    )
    assert seen(points()).tags == seen(plain).tags
    data = seen(points()).data
    assert re.search("[<>&\u2028\u2029]", data) is None
    assert json.loads(data)["books"][1]["name"] == HOSTILE
    assert json.loads(data)["quotation"][2:] == ["two lines", "%{x} $5 </script>"]


def test_the_page_holds_what_its_parts_show() -> None:
    data = json.loads(seen(replace(points(), placed=np.array([False, True, False, False]))).data)
    assert data["heading"] == "4 texts in 3 clusters"
    assert [cluster["colour"] for cluster in data["clusters"]] == list(PALETTE[:3])
    assert data["clusters"][0]["terms"] == ["king", "crown"]
    assert [label["name"] for label in data["labels"]] == ["_odd_", "comedy", "roman"]
    assert data["label"] == [1, 0, 1, 2]
    assert [book["texts"] for book in data["books"]] == [[0, 2], [1], [3]]
    assert data["confusion"]["counts"] == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert data["strangers"] == [1, 2, 3, 0]
    assert data["placed"] == [1] == [name["text"] for name in data["star_names"]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not shutil.which(BROWSER):
        pytest.skip(f"there is no {BROWSER}; Debian's package chromium brings it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A map's page in a browser without a network, what it asked for and what it complained of."""

    def __init__(self, browser: Any, folder: Path, drawn: MapPoints, width: int = 1400) -> None:
        path = folder / "map.html"
        path.write_bytes(draw_map_html(drawn).encode())
        self.url = path.as_uri()
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(LONG_MILLISECONDS)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.route("**/*", self._answer)
        self.page.goto(self.url)
        self.page.wait_for_selector("body[data-ready=true]")

    def _answer(self, route: Any) -> None:
        if route.request.url == self.url:
            route.continue_()
        else:
            route.abort()

    def close(self) -> None:
        """Close it, having asked for nothing and complained of nothing."""
        self.page.close()
        assert self.asked == [self.url]
        assert self.complaints == []

    def pixel(self, text: int) -> tuple[float, float]:
        """Where the text's point is on the screen."""
        place = self.page.evaluate(
            """text => {
                const map = document.getElementById("map"), box = map.getBoundingClientRect();
                const {xaxis, yaxis} = map._fullLayout;
                return [box.left + xaxis._offset + xaxis.d2p(DATA.x[text]),
                        box.top + yaxis._offset + yaxis.d2p(DATA.y[text])];
            }""",
            text,
        )
        return place[0], place[1]

    def colours(self) -> list[Any]:
        """The points' colours, in the order of the texts."""
        found = self.page.evaluate("document.getElementById('map').data[0].marker.color")
        assert isinstance(found, list)
        return found

    def shown(self) -> list[bool]:
        """Which texts are not faded."""
        found = self.page.evaluate("document.getElementById('map').data[0].marker.opacity")
        return [opacity > 0.5 for opacity in found]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    page = Opened(browser, tmp_path, points())
    yield page
    page.close()


def test_a_point_under_the_mouse_names_its_text_and_a_click_keeps_it(
    opened: Opened, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page, card = opened.page, opened.page.locator("#hover")
    expect(card).to_be_hidden()
    page.mouse.move(*opened.pixel(1))
    expect(card).to_be_visible()
    expect(card.locator(".title")).to_have_text(HOSTILE)
    expect(card.locator(".section")).to_have_text("ACT II")
    expect(card).to_contain_text("1: _sea_, $ship$")
    expect(card).to_contain_text("50% its cluster’s")
    expect(card).to_contain_text("<img src=x onerror=alert(2)>, auk")
    assert page.locator("img").count() == 0
    page.mouse.move(*opened.pixel(0))
    expect(card.locator(".title")).to_have_text("Hamlet")  # Plotly looks 50 ms after it looked last
    page.mouse.click(*opened.pixel(0))
    expect(page.locator("#pinned .title")).to_have_text("Hamlet")
    expect(page.locator("#pinned")).to_contain_text("comedy")
    page.get_by_role("button", name="after it").click()
    expect(page.locator("#pinned")).to_contain_text("two lines")
    expect(page.get_by_role("button", name="after it")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#pinned")).to_be_empty()
    picture = tmp_path / "map.png"
    page.screenshot(path=str(picture), full_page=True)
    keep = os.environ.get("BOOKLOOM_SCREENSHOTS")
    if keep:
        shutil.copy(picture, Path(keep) / "map_page.png")


def test_colours_are_clusters_labels_books_or_errors(opened: Opened) -> None:
    from playwright.sync_api import expect

    first, second, third = PALETTE[:3]
    legend = opened.page.locator("#legend button")
    assert opened.colours() == [first, second, first, third]
    opened.page.get_by_text("Label", exact=True).click()
    expect(legend).to_contain_text(["_odd_", "comedy", "roman"])
    assert opened.colours() == [second, first, second, third]
    opened.page.get_by_text("Book", exact=True).click()
    expect(legend).to_contain_text(["Hamlet", HOSTILE, "R&D"])
    assert opened.colours() == [first, second, first, third]
    legend.nth(0).click()
    assert opened.shown() == [True, False, True, False]
    opened.page.get_by_text("Error", exact=True).click()
    expect(opened.page.locator("#map .colorbar")).to_have_count(1)
    assert opened.colours() == pytest.approx([0.1, 0.9, 0.3, 0.2])
    assert opened.shown() == [True] * 4


def test_a_search_leaves_its_texts_and_goes_to_the_first(opened: Opened) -> None:
    from playwright.sync_api import expect

    page = opened.page
    field, found = page.get_by_role("searchbox"), page.locator("#found")
    for words, number in (("HAMLET", 2), ("hamlet there", 1), ("ship", 1), ("r&d", 1), ("zz", 0)):
        field.fill(words)
        expect(found).to_have_text(f"{number} text" + ("" if number == 1 else "s"))
        assert sum(opened.shown()) == number
        assert page.locator(".strip i.faded").count() == 4 - number
    field.fill("act")
    field.press("Enter")
    expect(page.locator("#pinned .title")).to_have_text("Hamlet")
    field.press("Enter")
    expect(page.locator("#pinned .title")).to_have_text(HOSTILE)
    low, high = page.evaluate("document.getElementById('map')._fullLayout.yaxis.range")
    assert low < 0 and high > 3
    field.press("Escape")
    expect(found).to_be_empty()
    assert opened.shown() == [True] * 4


def test_what_lies_below_the_map_leads_to_its_texts(opened: Opened) -> None:
    from playwright.sync_api import expect

    page, pinned = opened.page, opened.page.locator("#pinned .title")
    expect(page.locator("#verdict p")).to_have_text(["The clusters follow <i>nothing</i>."])
    cluster = page.get_by_role("article", name="cluster 0")
    expect(cluster).to_contain_text("king, crown")
    expect(cluster).to_contain_text("100% comedy")
    cluster.get_by_role("button").filter(has_text="two lines").last.click()
    expect(pinned).to_have_text("Hamlet")
    expect(page.locator("#confusion tbody tr")).to_have_count(3)
    expect(page.locator("#confusion tbody tr").first).to_contain_text("comedy")
    expect(page.locator(".book .name")).to_have_text(["Hamlet", HOSTILE, "R&D"])
    expect(page.locator(".book").nth(0).locator(".strip i")).to_have_count(2)
    part = page.locator(".book").nth(2).locator(".strip i")
    part.hover()
    expect(page.locator("#hover .title")).to_have_text("R&D")
    part.click()
    expect(pinned).to_have_text("R&D")
    strangers = page.locator("#strangers li")
    expect(strangers).to_have_count(4)
    expect(strangers.first).to_contain_text("<img src=x onerror=alert(2)>, auk")
    strangers.first.get_by_role("button").click()
    expect(pinned).to_have_text(HOSTILE)


def test_keys_go_from_text_to_text(opened: Opened) -> None:
    from playwright.sync_api import expect

    page, pinned = opened.page, opened.page.locator("#pinned .title")
    page.locator("#map").focus()
    for key, title in (("ArrowUp", "Hamlet"), ("ArrowUp", HOSTILE), ("ArrowRight", "R&D")):
        page.keyboard.press(key)
        expect(pinned).to_have_text(title)
    page.locator(".strip").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#pinned")).to_contain_text("two lines")


def test_a_page_without_labels_with_stars_on_a_telephone(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    drawn = replace(points(labels=None), placed=np.array([False, False, False, True]))
    opened = Opened(browser, tmp_path, drawn, width=390)
    expect(opened.page.locator("#colouring label")).to_have_text(["Cluster", "Book", "Error"])
    expect(opened.page.locator("#confusion-section")).to_be_hidden()
    expect(opened.page.locator(".book .name")).to_have_text(["Hamlet", HOSTILE, "★ R&D"])
    assert opened.page.evaluate("document.getElementById('map').data[1].customdata") == [3]
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    opened.close()


def test_thousands_of_texts_are_drawn_by_webgl(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    number = 6000
    random = np.random.default_rng(0)
    drawn = MapPoints(
        x=random.normal(size=number).astype(np.float32),
        y=random.normal(size=number).astype(np.float32),
        clusters=(np.arange(number) % 2).astype(np.int32),
        labels=None,
        titles=[f"Book {text // 100}" for text in range(number)],
        headings=[f"Chapter {text % 100}" for text in range(number)],
        quotations=["q"] * number,
        book_ids=[str(text // 100) for text in range(number)],
        places=np.arange(number) % 100 / 100,
        memberships=np.ones(number, dtype=np.float32),
        errors=np.arange(number, dtype=np.float32),
        strange_terms=[[]] * number,
        cluster_terms=[["even"], ["odd"]],
        typical=[[0], [1]],
        edge=[[], []],
        verdict=[],
    )
    opened = Opened(browser, tmp_path, drawn)
    assert opened.page.evaluate("document.getElementById('map').data[0].type") == "scattergl"
    far = int(np.argmax(drawn.x))
    opened.page.mouse.move(*opened.pixel(far))
    expect(opened.page.locator("#hover .section")).to_have_text(f"Chapter {far % 100}")
    opened.page.close()  # whatever a browser without a graphics card says of WebGL
    assert opened.asked == [opened.url]
