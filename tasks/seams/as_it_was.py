"""Whether a run can be repeated as it was: what has changed since, and the code of then."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserMistake
from tasks.seams import surroundings
from tasks.seams.surroundings import CHANGES, LOCK_FILE, NONE, UNKNOWN

COMMIT, LOCK = "git_commit", "lock_digest"
ENTRY = "flows/running.py"
"""Every commit has it that keeps the settings of its runs."""
ANYWAY = (
    "--anyway (in the flow `anyway: true`) repeats it with the code, libraries and books of now; "
    "it need not come out equal."
)


def changes_since(record: Mapping[str, Any], now: Mapping[str, str] | None = None) -> list[str]:
    """What is not as it was when a run was made, of that which its results may depend on.

    Args:
        record: of the run.
        now: the surroundings of its repetition; by default those of this process.
    """
    return list(_changed(record, now).values())


def commit_to_restore(store: str, record: Mapping[str, Any]) -> str | None:
    """The commit whose code is to repeat a run: none, where the checkout holds that code.

    Args:
        store: root of the store that has the record.
        record: of the run.

    Raises:
        UserMistake: the lock or a library is another, or the code of then can't be had any more.
    """
    run, then, root = record["mlflow_run_id"], record["surroundings"], surroundings.PROJECT_ROOT
    changed = {name: told for name, told in _changed(record).items() if name in then}
    commit = str(then[COMMIT])
    installed = [v for name, v in changed.items() if name == LOCK or name.startswith("library ")]
    if installed:
        there = f"{root}-{commit[:12]}"
        remedy = (
            f"In an environment of its own: git -C {root} worktree add --detach {there} {commit} "
            f"&& cd {there} && make .venv/installed && BOOKLOOM_STORE={store} "
            f".venv/bin/bookloom reproduce {run}"
            if LOCK in changed
            else f"Install what the lock says: pip install -r {root / LOCK_FILE}"
        )
        raise UserMistake(
            f"What is installed is not what run {run} ran on: {'; '.join(installed)}.",
            f"{remedy}. {ANYWAY}",
        )
    if not {COMMIT, CHANGES} & set(changed):
        return None
    if then.get(CHANGES, NONE) != NONE:
        raise UserMistake(
            f"Run {run} was made with changes to commit {commit} that were not committed, and "
            f"{root} does not hold just these any more.",
            f"Put them back, if they are somewhere. {ANYWAY}",
        )
    if not _has(commit):
        raise UserMistake(
            f"Run {run} was made by the code of commit {commit}, which {root} can't give back: it "
            "is no checkout of bookloom, or lacks that commit.",
            f"Fetch it (git -C {root} fetch origin {commit}), or repeat the run where that commit "
            f"is installed. {ANYWAY}"
            if commit != UNKNOWN
            else ANYWAY,
        )
    return commit


def check_out(commit: str, folder: Path) -> None:
    """Put the files of a commit into a new folder.

    It is a repository of its own, on the objects of the first: a worktree would leave a mark there
    when its folder goes, and bare files would be taken for part of whatever lies around them.

    Raises:
        UserMistake: git can't.
    """
    clone = ["clone", "--quiet", "--shared", "--no-checkout", ".", str(folder)]
    for where, arguments in (
        (surroundings.PROJECT_ROOT, clone),
        (folder, ["checkout", "--quiet", "--detach", commit]),
    ):
        command = ["git", "-C", str(where), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserMistake(
                f"The code of commit {commit} can't be had: {done.stderr.strip()}",
                f"See what stops it: {' '.join(command)}",
            )


def _short(value: str | None) -> str:
    """A value as people can compare it: of a digest the beginning."""
    if value is None:
        return "not recorded"
    return value[:12] if len(value) >= 40 and " " not in value else value


def _changed(record: Mapping[str, Any], now: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is not as it was, by name, each in words."""
    then = record["surroundings"]
    now = now or surroundings.surroundings(int(record["settings"]["num_threads"]))
    return {
        name: f"{name}: {_short(then.get(name))} -> {_short(now.get(name))}"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    }


def _has(commit: str) -> bool:
    """Whether the code is in a repository of its own, and that has this commit.

    Where bookloom is installed as a package, there may be none around it, or somebody else's.
    """
    root = Path(surroundings.git("rev-parse", "--show-toplevel").strip() or "/")
    is_own = root == surroundings.PROJECT_ROOT.resolve()
    return is_own and surroundings.git("cat-file", "-t", f"{commit}:{ENTRY}").strip() == "blob"
