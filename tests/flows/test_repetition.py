"""A run repeated by the code of a commit: of a repository whose flows only pretend to work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserMistake
from flows import running, store_commands
from flows.environment import home
from flows.keeper import children
from flows.repetition import repeat_by
from flows.reproduce import FOLDER, NOTE, ReproduceSettings, reproduce, reproduced_text
from tasks.seams import surroundings as module
from tasks.seams.processes import Process
from tests.tasks.small_runs import small_run
from tests.tasks.test_as_it_was import git

COPIES = """
import os, shutil
def run_texts_map(settings):
    assert os.environ["MLFLOW_TRACKING_URI"] == "none"
    shutil.copytree(settings["greeting"], settings["store"], dirs_exist_ok=True)
def run_pipeline(settings): ...
"""
FAILS = """
from data.errors import UserMistake
def run_texts_map(settings):
    raise UserMistake("The sea is dry.", "Fill it.")
def run_pipeline(settings): ...
"""
HANGS = """
import pathlib, time
def run_texts_map(settings):
    pathlib.Path(settings["store"]).mkdir()
    time.sleep(600)
def run_pipeline(settings): ...
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that the code is said to be in; its commits are tagged by what they do."""
    checkout = tmp_path / "checkout"
    for folder in ("flows", "data"):
        (checkout / folder).mkdir(parents=True)
        (checkout / folder / "__init__.py").write_text("")
    (checkout / "flows" / "environment.py").write_text("def prepare(): ...\n")
    errors = Path(module.PROJECT_ROOT) / "data" / "errors.py"
    shutil.copy(errors, checkout / "data")
    git(checkout, "init", "--quiet")
    for name, code in {"copies": COPIES, "fails": FAILS, "hangs": HANGS}.items():
        (checkout / "flows" / "running.py").write_text(code)
        git(checkout, "add", "--all")
        git(checkout, "commit", "--quiet", "--message", name)
        git(checkout, "tag", name)
    git(checkout, "checkout", "--quiet", "copies")
    monkeypatch.setattr(module, "PROJECT_ROOT", checkout)
    return checkout


def test_a_run_is_repeated_by_the_code_of_then(
    prefect_url: str, checkout: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    small_run(store, greeting=str(store))  # what it makes is what the code of then copies
    git(checkout, "checkout", "--quiet", "hangs")
    before = {**os.environ}
    report = reproduce(ReproduceSettings(store=str(store)))
    assert report["equal"], reproduced_text(report)
    assert report["restored_commit"] == git(checkout, "rev-parse", "copies")
    assert report["changes"] == [], "it was made by the code of then"
    assert f"commit {report['restored_commit']}" in reproduced_text(report)
    assert not list((home() / FOLDER).iterdir())
    assert dict(os.environ) == before


def repeated(checkout: Path, name: str, folder: Path, check: Any) -> None:
    folder.mkdir()
    commit = git(checkout, "rev-parse", name)
    settings = {"store": str(folder / "store")}
    repeat_by(commit, {"mlflow_run_id": "3f9c"}, settings, folder, check)


def test_a_mistake_of_the_code_of_then_is_told(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserMistake, match=r"3f9c, repeated by the code of commit .* exit code 1"):
        repeated(checkout, "fails", tmp_path / "again", lambda: False)
    assert capfd.readouterr().err.strip() == "The sea is dry.\n  Fill it."


def test_it_is_stopped_where_the_books_are_others(checkout: Path, tmp_path: Path) -> None:
    before = set(children())

    def check() -> bool:
        if (tmp_path / "again" / "store").exists():
            raise UserMistake("The books are not those.", "Put them back.")
        return False

    with pytest.raises(UserMistake, match="The books are not those"):
        repeated(checkout, "hangs", tmp_path / "again", check)
    assert set(children()) <= before
    assert not (tmp_path / "again" / "code").exists()


def test_the_command_tells_what_stops_it_before_anything_starts(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    small_run(tmp_path / "store")
    monkeypatch.setenv("BOOKLOOM_STORE", str(tmp_path / "store"))
    (checkout / "requirements.lock").write_text("torch==0.4.1\n")
    started: list[dict[str, Any]] = []

    def start(load: Any, settings: dict[str, Any]) -> dict[str, Any]:
        started.append(settings)
        return {"equal": True}

    monkeypatch.setattr(running, "run_flow", start)
    with pytest.raises(UserMistake, match="lock_digest: none -> "):
        store_commands.reproduce(as_json=True)
    assert started == []
    store_commands.reproduce(anyway=True, as_json=True)
    [settings] = started
    assert (settings["anyway"], settings["must_be_equal"]) == (True, False)
    assert ReproduceSettings(**settings).anyway


def test_what_killed_repetitions_have_left_goes_but_for_what_is_kept(
    prefect_url: str, checkout: Path, tmp_path: Path
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = Process.here()
    lives = here._replace(number=os.getppid(), began="")
    for name, keep, process in (
        ("killed", False, here._replace(number=dead.pid)),
        ("kept", True, here._replace(number=dead.pid)),
        ("at work", False, lives),
        ("elsewhere", False, here._replace(host="elsewhere")),
    ):
        (home() / FOLDER / name / "store").mkdir(parents=True)
        note = {"keep": keep, "process": process._asdict()}
        (home() / FOLDER / name / NOTE).write_text(json.dumps(note))
    (home() / FOLDER / "of an older bookloom" / "store").mkdir(parents=True)
    (home() / FOLDER / "damaged").mkdir()
    (home() / FOLDER / "damaged" / NOTE).write_text("{")
    store = tmp_path / "store"
    small_run(store, greeting=str(store))
    git(checkout, "checkout", "--quiet", "hangs")
    try:
        reproduce(ReproduceSettings(store=str(store)))
        left = {path.name for path in (home() / FOLDER).iterdir()}
    finally:
        shutil.rmtree(home() / FOLDER)
    assert left == {"kept", "at work", "elsewhere", "of an older bookloom", "damaged"}
