"""What has changed since a run was made: code is restored, the rest stops it in time."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserMistake
from tasks.seams import surroundings as module
from tasks.seams.as_it_was import ENTRY, changes_since, check_out, commit_to_restore
from tasks.seams.surroundings import surroundings

STORE = "/somewhere/store"


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder)]
    done = subprocess.run(["git", *own, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that the code is said to be in, at its first commit."""
    checkout = tmp_path / "checkout"
    (checkout / ENTRY).parent.mkdir(parents=True)
    git(checkout, "init", "--quiet")
    commit(checkout, "of then")
    monkeypatch.setattr(module, "PROJECT_ROOT", checkout)
    return checkout


def commit(checkout: Path, code: str) -> str:
    (checkout / ENTRY).write_text(f"# {code}\n")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", code)
    return git(checkout, "rev-parse", "HEAD")


def record(**changes: str) -> dict[str, Any]:
    """Of a run that is made here and now, but for some changes."""
    then = {**surroundings(1), **{name.replace("_of_", " "): v for name, v in changes.items()}}
    return {"mlflow_run_id": "3f9c", "settings": {"num_threads": 1}, "surroundings": then}


def test_where_the_checkout_is_as_it_was_nothing_is_restored(checkout: Path) -> None:
    made = record(processor="another one")
    assert commit_to_restore(STORE, made) is None
    assert [change.split(":")[0] for change in changes_since(made)] == ["processor"]
    (checkout / ENTRY).write_text("# being tried\n")
    assert commit_to_restore(STORE, record()) is None, "nor where the same is uncommitted"


def test_the_code_of_then_is_restored_beside_that_of_now(checkout: Path, tmp_path: Path) -> None:
    made = record()
    then = made["surroundings"]["git_commit"]
    now = commit(checkout, "of now")
    assert commit_to_restore(STORE, made) == then
    check_out(then, tmp_path / "code")
    assert (tmp_path / "code" / ENTRY).read_text() == "# of then\n"
    assert git(tmp_path / "code", "rev-parse", "HEAD") == then
    assert git(checkout, "rev-parse", "HEAD") == now
    assert (checkout / ENTRY).read_text() == "# of now\n"
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


def test_changes_of_now_are_not_those_of_a_run_that_had_none(checkout: Path) -> None:
    made = record()
    (checkout / ENTRY).write_text("# being tried\n")
    assert commit_to_restore(STORE, made) == made["surroundings"]["git_commit"]


def test_changes_that_were_never_committed_are_lost(checkout: Path) -> None:
    (checkout / ENTRY).write_text("# being tried\n")
    made = record()
    commit(checkout, "being tried")
    with pytest.raises(UserMistake, match="were not committed") as caught:
        commit_to_restore(STORE, made)
    assert "--anyway" in caught.value.remedy


@pytest.mark.parametrize("where", ["lacks it", "no repository", "another's repository"])
def test_code_that_cannot_be_had_stops_it(
    checkout: Path, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    made = record()
    if where == "lacks it":
        made["surroundings"]["git_commit"] = "a" * 40
    elif where == "no repository":
        monkeypatch.setattr(module, "PROJECT_ROOT", tmp_path_factory.mktemp("installed"))
    else:
        commit(checkout, "of now")
        monkeypatch.setattr(module, "PROJECT_ROOT", checkout / "flows")
    with pytest.raises(UserMistake, match="no checkout of bookloom, or lacks") as caught:
        commit_to_restore(STORE, made)
    assert f"fetch origin {made['surroundings']['git_commit']}" in caught.value.remedy


def test_another_library_stops_it(checkout: Path) -> None:
    with pytest.raises(UserMistake) as caught:
        commit_to_restore(STORE, record(library_of_torch="0.4.1"))
    assert "library torch: 0.4.1 -> " in caught.value.message
    assert f"pip install -r {checkout}/requirements.lock. --anyway" in caught.value.remedy


def test_another_lock_stops_it_and_the_remedy_is_a_command(checkout: Path) -> None:
    made = record(lock_digest="b" * 64)
    then = made["surroundings"]["git_commit"]
    with pytest.raises(UserMistake, match="lock_digest: bbbbbbbbbbbb -> none") as caught:
        commit_to_restore(STORE, made)
    there = f"{checkout}-{then[:12]}"
    assert (
        f"git -C {checkout} worktree add --detach {there} {then} && cd {there} && "
        f"make .venv/installed && BOOKLOOM_STORE={STORE} .venv/bin/bookloom reproduce 3f9c"
    ) in caught.value.remedy


def test_what_an_older_record_does_not_tell_stops_nothing(checkout: Path) -> None:
    made = record()
    del made["surroundings"]["library scipy"]
    assert commit_to_restore(STORE, made) is None
    assert changes_since(made)[0].startswith("library scipy: not recorded -> ")
