"""The commands that watch a store: why, verify, prune, reproduce."""

import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from data.errors import UserMistake
from flows.command_tools import AsJson, Flag, examples, print_answer
from flows.environment import home_store, tracking_uri
from tasks.seams.quantities import size

WHY_EXAMPLES = examples(
    "bookloom why text_codes",
    "bookloom why language_model.safetensors --json",
)
VERIFY_EXAMPLES = examples(
    "bookloom verify",
    "bookloom verify --repair",
    "bookloom verify --json",
)
PRUNE_EXAMPLES = examples(
    "bookloom prune --dry-run",
    "bookloom prune --keep 2",
    "bookloom prune --yes --json",
)
REPRODUCE_EXAMPLES = examples(
    "bookloom reproduce",
    "bookloom reproduce 3f9c",
    "bookloom reproduce 3f9c --keep --json",
    "bookloom reproduce 3f9c --anyway",
)
NOT_AS_PROMISED_EXIT_CODE = 1


def why(table: str, /, *, as_json: AsJson = False) -> None:
    """Why a table of the newest run was recomputed, or was not, back to the change that began it.

    Args:
        table: a table's name, or that of a file such as map.png.
        as_json: print one JSON object.
    """
    from tasks.why import why as explain

    print_answer(explain(home_store(), table), as_json, _why_text)


def verify(*, repair: Flag = False, as_json: AsJson = False) -> None:
    """Find what is damaged in the store: changed bytes, files that are missing.

    What a killed run has left half written is named too; it is no damage.

    Exit codes: 0 all is whole, or was repaired; 1 something is damaged.

    Args:
        repair: remove the damaged results, which the next run recomputes, and what is left over.
        as_json: print one JSON object.
    """
    from tasks.verify import verify as look_at_all

    found = look_at_all(home_store(), repair)
    print_answer(found, as_json, _verify_text)
    if not found["sound"]:
        sys.exit(NOT_AS_PROMISED_EXIT_CODE)


def prune(
    *, keep: int = 5, yes: Flag = False, dry_run: Flag = False, as_json: AsJson = False
) -> None:
    """Remove results that no kept run needs.

    Kept are the newest runs, a run of each model that is registered under an alias, is the newest
    one or is the one that a rollback returns to, unfinished runs, and all that these came from. An
    unfinished run that is older than the newest runs is forgotten: it is not gone on with.
    Downloads are never touched. While a run is at work on the store nothing is removed, and while
    this asks, no run begins.

    Args:
        keep: how many of the newest runs to keep.
        yes: remove without asking.
        dry_run: only show what would go.
        as_json: print one JSON object; removes only with --yes.
    """
    from tasks.prune import PRUNE, what_to_prune
    from tasks.prune import prune as remove
    from tasks.seams.store_lock import alone_in

    if keep < 0:
        raise UserMistake(f"--keep {keep} is no number of runs.", "Give 0 or more.")
    alone = nullcontext() if dry_run else alone_in(home_store(), PRUNE)
    with alone:  # so that what is shown is still so when it goes
        plan = what_to_prune(home_store(), tracking_uri(), keep)
        is_something = bool(plan["remove"] or plan["stale_runs"])
        is_asked = is_something and not yes and not dry_run
        if is_asked and (as_json or not sys.stdin.isatty()):
            raise UserMistake(
                f"{plan['num_results']} results and the notes of {len(plan['stale_runs'])} "
                "unfinished runs would be removed, and nobody can be asked.",
                "Pass --yes to remove them, or --dry-run to see which.",
            )
        if not as_json:
            print(_prune_text(plan))
        if is_asked and input("Remove them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return
        if not dry_run:
            remove(home_store(), tracking_uri(), plan)
        if as_json:
            print_answer({**plan, "removed": not dry_run}, as_json, _prune_text)
        elif is_something:
            print("Nothing was removed: --dry-run." if dry_run else "Removed.")


def reproduce(
    run: str | None = None,
    /,
    *,
    anyway: Flag = False,
    keep: Flag = False,
    as_json: AsJson = False,
) -> None:
    """Repeat a run in an empty store, and compare every table and all weights with what it made.

    The run's own code repeats it: where the checkout is at another commit, that of then is taken
    from git. Where the lock, a library or a book is not that of then, or the code was never
    committed, it stops before anything is trained, and says what to do.

    Exit codes: 0 all are equal; 1 something differs, and the first row that does is shown; 2 it
    can't be repeated as it was.

    Args:
        run: its MLflow run id, or how that begins; by default the newest run.
        anyway: repeat it with the code, libraries and books of now, whatever has changed.
        keep: keep the repetition's store.
        as_json: print one JSON object.
    """
    from flows.running import run_flow
    from tasks.reproduce import run_to_repeat
    from tasks.seams.as_it_was import commit_to_restore

    record = run_to_repeat(home_store(), run)  # a mistake is told before anything starts
    if not anyway:
        commit_to_restore(home_store(), record)
    settings = {
        "run": record["mlflow_run_id"],
        "anyway": anyway,
        "keep": keep,
        "must_be_equal": False,
    }

    def load() -> Any:
        from flows.reproduce import ReproduceSettings
        from flows.reproduce import reproduce as repeat

        return repeat, ReproduceSettings

    report = run_flow(load, settings)
    from flows.reproduce import reproduced_text

    print_answer(report, as_json, reproduced_text)
    if not report["equal"]:
        sys.exit(NOT_AS_PROMISED_EXIT_CODE)


def _why_text(found: Mapping[str, Any]) -> str:
    when = _clock(found["run"]["unix_seconds"])
    what = "reused, as nothing it depends on had changed" if found["reused"] else "recomputed"
    lines = [
        f"{found['table']}, made by {found['step']}: {what} in the newest run that has it ({when})"
    ]
    if found["reused"]:
        lines += [f"it was made {_clock(found['made_unix_seconds'])}, then because"]
    lines += _why_lines(found, 1)
    lines += ["begun by"]
    return "\n".join(
        [*lines, *(f"  {one['step']}: {'; '.join(one['reasons'])}" for one in found["started_by"])]
    )


def _why_lines(node: Mapping[str, Any], depth: int) -> list[str]:
    pad = "  " * depth
    lines = [f"{pad}{reason}" for reason in node["own_reasons"]]
    for child in node["inputs"]:
        lines += [f"{pad}{child['table']} changed, made by {child['step']}, because"]
        lines += _why_lines(child, depth + 1)
    return lines


def _verify_text(found: Mapping[str, Any]) -> str:
    counts = (
        f"{found['num_results']} results, {found['num_files']:,} files, "
        f"{size(found['num_bytes'])} in {found['store']}"
    )
    lines = []
    for one in found["damage"]:
        lines += [f"{one['where']}", f"  what    {one['what']}", f"  remedy  {one['remedy']}"]
    lines += [f"not checkable  {path}" for path in found["not_checkable"]]
    lines += [f"unfinished     {path}" for path in found["unfinished"]]
    lines += [f"left over      {path}" for path in found["left_over"] if not found["repaired"]]
    lines += [f"removed        {path}" for path in found["repaired"]]
    number = len(found["damage"])
    verdict = f"{number} damaged" if number else "sound"
    return "\n".join([*lines, f"{verdict}: {counts}"])


def _prune_text(plan: Mapping[str, Any]) -> str:
    lines = [
        f"{step:<14} {one['num_results']:>5} results  {size(one['num_bytes']):>9}"
        for step, one in plan["steps"].items()
    ]
    lines += [""] if lines else []
    lines += [
        f"kept  run {one['mlflow_run_id']} of {_clock(one['unix_seconds'])}: {one['why']}"
        for one in plan["kept_runs"]
    ]
    lines += [f"kept  unfinished run {run}" for run in plan["unfinished_runs"]]
    lines += [
        f"to forget  unfinished run {one['mlflow_run_id']}, not gone on with"
        + f" since {_clock(one['unix_seconds'])}" * bool(one["unix_seconds"])
        for one in plan["stale_runs"]
    ]
    lines += [
        f"to remove {plan['num_results']} results, {size(plan['num_bytes'])}; "
        f"to keep {plan['num_kept_results']}, {size(plan['num_kept_bytes'])}"
        if plan["remove"]
        else f"All {plan['num_kept_results']} results are needed by kept runs."
    ]
    return "\n".join(lines)


def _clock(unix_seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_seconds))
