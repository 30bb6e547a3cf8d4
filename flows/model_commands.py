"""The commands on the registered models: models, rollback."""

import time
from collections.abc import Mapping
from typing import Any

from flows.command_tools import AsJson, examples, print_answer
from flows.environment import tracking_uri

MODELS_EXAMPLES = examples("bookloom models", "bookloom models --json")
ROLLBACK_EXAMPLES = examples("bookloom rollback", "bookloom rollback --json")


def models(*, as_json: AsJson = False) -> None:
    """The registered models, the newest first: who is champion, who was refused, and why.

    Args:
        as_json: print one JSON object.
    """
    from tasks.versions import versions

    print_answer(versions(tracking_uri()), as_json, _models_text)


def rollback(*, as_json: AsJson = False) -> None:
    """Make the champion before the present one champion again.

    The model that is rolled back stays registered. A run that makes it again does not promote it,
    unless it is forced to.

    Args:
        as_json: print one JSON object.
    """
    from tasks.versions import roll_back

    print_answer(roll_back(tracking_uri()), as_json, _rollback_text)


def _models_text(found: Mapping[str, Any]) -> str:
    lines = []
    for one in found["models"]:
        registered = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["registered_unix_seconds"]))
        facts = [one["verdict"] or "never judged"]
        facts += [f"rolled back {one['rolled_back_at']}"] if one["rolled_back_at"] else []
        aliases = "".join(f"  @{alias}" for alias in one["aliases"])
        lines += [f"{one['model']:<20} {registered}  {', '.join(facts)}{aliases}"]
        lines += [f"  {one['reason']}"] if one["reason"] else []
    lines += [f"champion      {found['champion'] or 'none: the newest model is used'}"]
    if found["before"]:
        lines += [f"before it     {found['before']}, to which a rollback returns"]
    return "\n".join(lines)


def _rollback_text(done: Mapping[str, Any]) -> str:
    return f"champion: {done['rolled_back']} -> {done['champion']}"
