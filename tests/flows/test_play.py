"""The page to play on: its answers over HTTP, and the page itself in a real browser."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from data.errors import UserMistake
from flows.play import MOST_BYTES, play_app
from flows.ports import listening
from tasks.play import Game

BROWSER = "/usr/bin/chromium"
BAGS = [
    ["the", "my"],
    ["king", "lady", "sailor"],
    ["sees", "loves"],
    ["the"],
    ["sea", "moon"],
    ["."],
]


@pytest.fixture(scope="module")
def address(miniature_run: Any) -> Iterator[str]:
    """Where the page is served, by the miniature run's model."""
    game = Game(miniature_run.tracking_uri, miniature_run.summary["model"]["uri"])
    with listening(0) as listener:
        server = uvicorn.Server(uvicorn.Config(play_app(game), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=30)


def ask(address: str, **changes: Any) -> tuple[int, dict[str, Any]]:
    request = {"bags": BAGS, "beam_width": 64, "num_sentences": 4, **changes}
    response = httpx.post(f"{address}/pick", json=request, timeout=60)
    return response.status_code, response.json()


def test_a_pick_has_sentences_and_what_they_were_held_against(address: str) -> None:
    status, answer = ask(address)
    assert status == 200
    assert answer["proven_best"], "24 sentences in all"
    scores = [one["score"] for one in answer["sentences"]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    assert [slot["bag"] for slot in answer["slots"]] == list(range(6))
    for bag, slot in zip(BAGS, answer["slots"], strict=True):
        assert [choice["words"] for choice in slot["choices"]] == bag
        assert sum(choice["probability"] for choice in slot["choices"]) == pytest.approx(1.0)
        assert sum(choice["chosen"] for choice in slot["choices"]) == 1
        assert (slot["margin"] is None) == (len(bag) == 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bags": []}, "'bags' is not a list"),
        ({"bags": [["the"], []]}, "bag 2 is empty"),
        ({"bags": [["zeppelin"]]}, "'zeppelin' is not in the vocabulary"),
        ({"bags": [["the"] * 3000]}, "3,000 words"),
        ({"beam_width": 0}, "beam_width is 0"),
        ({"beam_width": "wide"}, "beam_width is 'wide'"),
        ({"frequency_discount": -1}, "frequency_discount is -1"),
        ({"frequency_discount": "much"}, "frequency_discount is 'much'"),
        ({"num_sentences": 10_000}, "num_sentences is 10000"),
        ({"unknown": "spell"}, "unknown is 'spell'"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_mistakes_are_told(address: str, changes: dict[str, Any], message: str) -> None:
    status, answer = ask(address, **changes)
    assert status == 400
    assert message in answer["error"]["message"]
    assert answer["error"]["remedy"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * MOST_BYTES + b'"']
)
def test_hostile_requests_are_answered(address: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = httpx.post(f"{address}/pick", content=content, headers=headers, timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]["remedy"]


def test_other_pages_get_nothing(address: str) -> None:
    foreign = httpx.get(address, headers={"Host": "evil.example"})
    assert foreign.status_code == 400
    plain = {"Content-Type": "text/plain"}
    response = httpx.post(f"{address}/pick", content=json.dumps({"bags": BAGS}), headers=plain)
    assert response.status_code == 400
    assert "not JSON" in response.json()["error"]["message"]


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = f"Port {port} of 127.0.0.1 cannot be had"
        with pytest.raises(UserMistake, match=message) as caught, listening(port):
            pass
    assert "--port" in caught.value.remedy


def test_the_page_in_a_browser(address: str, tmp_path: Path) -> None:
    if not shutil.which(BROWSER):
        pytest.skip(f"there is no {BROWSER}; Debian's package chromium brings it")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        bags = page.get_by_role("textbox")
        expect(bags).to_have_count(5)
        for _ in range(5):
            page.get_by_role("button", name="remove bag 1").click()
        for bag in BAGS:
            page.get_by_role("button", name="Add a bag").click()
            bags.last.fill("\n".join(bag))
        _, best = ask(address, num_sentences=1)
        sentence = best["sentences"][0]["sentence"]
        expect(page.locator("#best")).to_have_text(sentence, timeout=20_000)
        expect(page.locator("#proof")).to_contain_text("proven to be the best")
        expect(page.locator(".bag li.chosen")).to_have_count(len(BAGS))
        picture = tmp_path / "play.png"
        page.screenshot(path=str(picture), full_page=True)
        keep = os.environ.get("BOOKLOOM_SCREENSHOTS")
        if keep:
            shutil.copy(picture, Path(keep) / "play.png")

        bags.nth(1).fill("zeppelin")
        expect(page.get_by_role("alert")).to_contain_text("'zeppelin' is not in the vocabulary")
        bags.nth(1).fill("lady")
        expect(page.get_by_role("alert")).to_be_empty()
        expect(page.locator("#best")).to_contain_text("lady")
        page.get_by_label("Discount of common words").fill("0")
        _, plain = ask(
            address,
            bags=[*BAGS[:1], ["lady"], *BAGS[2:]],
            frequency_discount=0.0,
            num_sentences=1,
        )
        expect(page.locator("#best")).to_have_text(plain["sentences"][0]["sentence"])
        browser.close()
    assert all(url.startswith(address) for url in asked), "nothing comes from elsewhere"
    assert [one for one in complaints if "400" not in one] == []
