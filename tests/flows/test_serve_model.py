"""The registered model behind MLflow's own scoring server, asked over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.generate import GenerateSettings, generate

BAGS = [["the", "my"], ["king", "lady"], ["sees", "loves"], ["the"], ["sea", "moon"], ["."]]
START_SECONDS = 240


@pytest.fixture(scope="module")
def address(miniature_run: Any) -> Iterator[str]:
    """Where `bookloom serve-model` serves the miniature run's model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "bookloom", "serve-model", "--port", str(port)]
    command += ["--model", miniature_run.summary["model"]["uri"]]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": miniature_run.tracking_uri}
    server = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, url)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=60)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def _wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, server.communicate()[1].decode()
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError("the scoring server does not answer")


def body(bags: Any, **params: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["bags"], "data": [[bags]]}, "params": params}


def ask(address: str, content: Any) -> httpx.Response:
    return httpx.post(f"{address}/invocations", json=content, timeout=120)


def test_it_picks_what_generate_picks(miniature_run: Any, address: str, tmp_path: Path) -> None:
    path = tmp_path / "bags.jsonl"
    path.write_text(json.dumps({"bags": BAGS}))
    uri = miniature_run.summary["model"]["uri"]
    settings = GenerateSettings(bags=str(path), num_sentences=3, model=uri)
    [expected] = generate(miniature_run.tracking_uri, settings)["bag_sets"]
    answer = ask(address, body(BAGS, num_sentences=3))
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    assert [row["sentence"] for row in rows] == [row["sentence"] for row in expected["sentences"]]
    for row, own in zip(rows, expected["sentences"], strict=True):
        assert row["score"] == pytest.approx(own["score"], abs=1e-4)
        assert row["log_probability_nats"] == pytest.approx(own["log_probability_nats"], abs=1e-4)


def test_concurrent_requests_get_their_own_answers(address: str) -> None:
    requests = [body([["the", "my"], ["king"], [noun]]) for noun in ("sea", "moon", ".") * 8]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: ask(address, content), requests))
    assert {answer.status_code for answer in answers} == {200}
    for answer, noun in zip(answers, ("sea", "moon", ".") * 8, strict=True):
        [row] = answer.json()["predictions"]
        assert row["tokens"][1:] == ["king", noun]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (body([["the"], ["zeppelin"]]), "row 1, bag 2: 'zeppelin' is not in the vocabulary"),
        (body([["the"], []]), "row 1, bag 2 is empty"),
        (body([["_end_"]]), "'_end_' is a mark"),
        (body(BAGS, beam_width=0), "beam_width is 0"),
        (body(BAGS, beam_width=10**6), "beam_width is 1000000"),
        (body(BAGS, num_sentences=65), "num_sentences is 65"),
        (body(BAGS, frequency_discount=-1.0), "frequency_discount is -1"),
        (body([["the", "my"] * 101_000]), "202,000 words"),
        (body([["the"]] * 1_001), "1,001 bags"),
        (body("bags"), "bags"),
        (body([[1, 2]]), ""),
        (body([[[[["the"]]]]]), ""),
        (body(None), ""),
        ({"dataframe_split": {"columns": ["words"], "data": [[BAGS]]}}, "bags"),
        ([], ""),
        ({}, ""),
    ],
)
def test_hostile_requests_are_answered_as_errors(address: str, content: Any, message: str) -> None:
    answer = ask(address, content)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["message"]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_an_error(address: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{address}/invocations", content=content, headers=headers, timeout=60)
    assert 400 <= answer.status_code < 500
    assert httpx.get(f"{address}/health").status_code == 200
