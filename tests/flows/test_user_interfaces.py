"""Prefect's and MLflow's own user interfaces in a real browser: runs are found, and shown whole,
and what books say of themselves is text there."""

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import mlflow
import numpy as np
import pytest
from PIL import Image
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_DATABASE_CONNECTION_URL

from tests.conftest import HOSTILE_TITLES
from tests.servers.processes import HOST, Server, free_port, running

BROWSER = "/usr/bin/chromium"
LONG_SECONDS = 60.0
GREEN = (34, 153, 78)  # of a task in Prefect's graph that has ended well
SHOWN_TITLES = [title.replace("\u202e", "\\u202e") for title in HOSTILE_TITLES]
LEADS_TO = {
    "read": {"tokenise", "count", "encode", "weigh", "cluster", "chart"},
    "tokenise": {"count", "encode", "train", "weigh"},
    "count": {"encode", "embed", "train", "measure"},
    "encode": {"embed", "train", "tune", "evaluate", "recover"},
    "embed": {"train"},
    "train": {"tune", "measure"},
    "tune": {"evaluate", "pick", "recover"},
    "evaluate": {"measure"},
    "pick": set(),
    "recover": {"measure"},
    "weigh": {"cluster", "judge", "chart"},
    "cluster": {"judge", "chart", "measure"},
    "judge": {"chart", "measure"},
    "chart": set(),
    "measure": {"publish"},
    "publish": {"promote"},
    "promote": set(),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not shutil.which(BROWSER):
        pytest.skip(f"there is no {BROWSER}; Debian's package chromium brings it")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * LONG_SECONDS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()
    expect.set_options(timeout=5000)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page on which no script of a book may run."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(1000 * LONG_SECONDS)
    dialogs: list[str] = []
    opened.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    yield opened
    opened.close()
    assert dialogs == []


@pytest.fixture(scope="module")
def prefect_ui(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a whole Prefect server on the tests' database: theirs has no pages."""
    address = f"http://{HOST}:{free_port()}"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(PREFECT_HOME.value()),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": str(
            PREFECT_SERVER_DATABASE_CONNECTION_URL.value()
        ),
        "PREFECT_UI_API_URL": f"{address}/api",
    }
    command = ["prefect", "server", "start", "--no-services", "--host", HOST]
    yield from _served(command, address, "/api/health", environment, tmp_path_factory)


@pytest.fixture(scope="module")
def mlflow_ui(miniature_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server on the tests' runs."""
    address = f"http://{HOST}:{free_port()}"
    store = ["--backend-store-uri", miniature_run.tracking_uri]
    command = ["mlflow", "server", "--workers", "1", *store, "--host", HOST]
    yield from _served(command, address, "/health", dict(os.environ), tmp_path_factory)


def _served(
    command: list[str],
    address: str,
    health: str,
    environment: dict[str, str],
    folders: pytest.TempPathFactory,
) -> Iterator[str]:
    program = Path(sys.executable).with_name(command[0])
    whole = [str(program), *command[1:], "--port", address.rsplit(":", 1)[1]]
    server = Server(whole, environment, folders.mktemp(command[0]), address + health)
    with running(server):
        yield address


@pytest.fixture(scope="module")
def run(miniature_run: Any) -> Any:
    """The miniature run, as MLflow has it."""
    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    return client.get_run(miniature_run.summary["mlflow_run_id"])


def keep(page: Any, name: str) -> None:
    """A picture of the page, where whoever runs the tests wants to look."""
    if folder := os.environ.get("BOOKLOOM_SCREENSHOTS"):
        if (assistant := page.get_by_role("button", name="Close", exact=True)).count():
            assistant.first.click()
        page.screenshot(path=f"{folder}/{name}.png")


def until(page: Any, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)


def num_green_pixels(picture: bytes) -> int:
    pixels_HW3 = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    return int((np.abs(pixels_HW3 - GREEN).max(axis=2) < 12).sum())


def test_prefect_finds_the_run_and_draws_its_graph(prefect_ui: str, run: Any, page: Any) -> None:
    from playwright.sync_api import expect

    name, flow_run_id = run.info.run_name, run.data.tags["prefect.flow_run_id"]
    page.goto(f"{prefect_ui}/runs")
    page.get_by_role("searchbox", name="Search by flow run name").fill(name)
    found = page.locator(f"a[href*='{flow_run_id}']").get_by_text(name)
    found.or_(page.get_by_role("link", name=name)).first.wait_for()
    keep(page, "prefect_runs")
    page.goto(f"{prefect_ui}/runs/flow-run/{flow_run_id}")
    expect(page.get_by_text(name).first).to_be_visible()
    for tag in ("command line", "words", "miniature"):
        expect(page.get_by_text(tag, exact=True).first).to_be_visible()
    canvas = page.locator("canvas")
    until(page, lambda: num_green_pixels(canvas.screenshot()) > 1000)
    keep(page, "prefect_run")
    graph = httpx.get(f"{prefect_ui}/api/flow_runs/{flow_run_id}/graph-v2").json()
    labels = {node_id: node["label"] for node_id, node in graph["nodes"]}
    steps = {
        node["label"]: {labels[child["id"]] for child in node["children"]}
        for _, node in graph["nodes"]
        if not node["encapsulating"]
    }
    assert steps == LEADS_TO
    assert {"mlflow"} == {artifact["key"] for artifact in graph["artifacts"]}


def test_prefect_shows_the_report_with_titles_as_text(
    prefect_ui: str, run: Any, miniature_run: Any, page: Any
) -> None:
    from playwright.sync_api import expect

    flow_run_id = run.data.tags["prefect.flow_run_id"]
    wanted = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    artifacts = httpx.post(f"{prefect_ui}/api/artifacts/filter", json=wanted).json()
    kept = {artifact["key"]: artifact["id"] for artifact in artifacts}
    assert {"report", "mlflow", "map", "training-curve", "metrics", "refusals"} < set(kept)
    page.goto(f"{prefect_ui}/runs/flow-run/{flow_run_id}")
    page.get_by_text("Artifacts", exact=True).click()
    expect(page.get_by_text("This run in MLflow")).to_be_visible()
    page.goto(f"{prefect_ui}/artifacts/artifact/{kept['report']}")
    report = page.locator(".artifact-data-markdown")
    expect(report.get_by_role("heading", name=run.info.run_name)).to_be_visible()
    for heading in ("Books", "Language model", "Sentences from bags", "Clusters", "Steps"):
        expect(report.get_by_role("heading", name=heading, exact=True)).to_be_attached()
    shown = " ".join(report.inner_text().split())
    for title in SHOWN_TITLES:
        assert title in shown
    assert "Why they ran: read, tokenise" in shown and "first time" in shown
    assert f"runs/{run.info.run_id}" in shown
    # What it is made of: its own pictures and one link, and nothing that a book brought along.
    pictures = report.locator("img").evaluate_all("all => all.map(one => one.src.slice(0, 22))")
    assert pictures == ["data:image/png;base64,"] * 2
    widths = "all => all.map(one => one.complete && one.naturalWidth)"
    until(page, lambda: min(report.locator("img").evaluate_all(widths)) > 1000)
    links = report.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert links == [f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}"
                     f"/runs/{run.info.run_id}"]  # fmt: skip
    assert report.locator("script").count() == 0
    keep(page, "prefect_report")
    page.goto(f"{prefect_ui}/artifacts/artifact/{kept['metrics']}")
    expect(page.get_by_text("perplexity").first).to_be_visible()


def test_mlflow_shows_the_run_its_parts_and_its_curves(mlflow_ui: str, run: Any, page: Any) -> None:
    from playwright.sync_api import expect

    at = f"{mlflow_ui}/#/experiments/{run.info.experiment_id}"
    page.goto(f"{at}/runs")
    expect(page.locator(f"a[href*='{run.info.run_id}']").first).to_contain_text(run.info.run_name)
    keep(page, "mlflow_runs")
    page.goto(f"{at}/runs/{run.info.run_id}")
    expect(page.get_by_role("heading", name=run.info.run_name)).to_be_visible()
    expect(page.get_by_text("5 books, perplexity")).to_be_visible()
    expect(
        page.get_by_text(f"books ({run.inputs.dataset_inputs[0].dataset.digest})")
    ).to_be_visible()
    part = page.get_by_role("link", name=f"training ({run.info.run_name})")
    expect(part).to_be_visible()
    keep(page, "mlflow_run")
    page.get_by_placeholder("Search parameters").fill("train.hidden_width")
    expect(page.get_by_text("train.hidden_width")).to_be_visible()
    part.click()
    expect(page.get_by_role("heading", name=f"training ({run.info.run_name})")).to_be_visible()
    page.get_by_text("Model metrics", exact=True).first.click()
    page.get_by_role("searchbox", name="Search metric charts").fill("perplexity")
    for metric in ("train_perplexity", "validation_perplexity"):
        expect(page.get_by_text(metric, exact=True).first).to_be_visible()
    until(page, lambda: page.locator(".js-plotly-plot .scatterlayer .trace").count() >= 2)
    keep(page, "mlflow_curves")


def test_mlflow_shows_the_map_s_page_with_titles_as_text(
    mlflow_ui: str, run: Any, miniature_run: Any, page: Any
) -> None:
    from playwright.sync_api import expect

    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    own = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and tags.part = 'clustering'"
    [child] = client.search_runs([run.info.experiment_id], own)
    page.goto(
        f"{mlflow_ui}/#/experiments/{run.info.experiment_id}/runs/{child.info.run_id}/artifacts"
    )
    expect(page.get_by_text("map.png")).to_be_visible()
    page.get_by_text("map.html").click()
    names = page.frame_locator("iframe").locator(".book .name")
    expect(names).to_have_count(5)
    shown = [" ".join(name.split()) for name in names.all_inner_texts()]
    assert set(SHOWN_TITLES) < set(shown)


def test_mlflow_tells_two_runs_apart_side_by_side(
    mlflow_ui: str, run: Any, character_run: dict[str, Any], miniature_run: Any, page: Any
) -> None:
    from playwright.sync_api import expect

    other = mlflow.MlflowClient(miniature_run.tracking_uri).get_run(character_run["mlflow_run_id"])
    runs = quote(json.dumps([run.info.run_id, other.info.run_id]))
    experiments = quote(json.dumps([run.info.experiment_id]))
    page.goto(f"{mlflow_ui}/#/compare-runs?runs={runs}&experiments={experiments}")
    expect(page.get_by_text("Comparing 2 Runs")).to_be_visible()
    for one in (run, other):
        expect(page.get_by_text(one.info.run_name, exact=True).first).to_be_visible()
    assert other.info.run_name.startswith("retrain characters of ")
    table = page.locator("table", has_text="tokenise.unit")
    row = table.get_by_role("row").filter(has_text="tokenise.unit")
    expect(row).to_contain_text("word")
    expect(row).to_contain_text("character")
    keep(page, "mlflow_comparison")
