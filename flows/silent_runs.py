"""Runs that have fallen silent, wherever they ran: an automation of Prefect sets them to Crashed.

On this machine `dead_runs` sees sooner, and surely, that a process is gone.
"""

from typing import Any

from flows.prefect_api import PrefectApi

NAME = "bookloom: a run without a sign of life is crashed"
SILENCE_SECONDS = 300
"""More than Prefect's own interval of heartbeats, 180, for runs that know no other."""
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended", "AwaitingRetry")


def automation(silence_seconds: int = SILENCE_SECONDS) -> dict[str, Any]:
    """As Prefect takes it."""
    return {
        "name": NAME,
        "description": "Its machine, or its way here, is down. Made by bookloom serve.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "for_each": ["prefect.resource.id"],
            "after": [HEARTBEAT],
            "expect": [HEARTBEAT, *(f"prefect.flow-run.{end}" for end in ENDS)],
            "threshold": 1,
            "within": silence_seconds,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "CRASHED",
                "name": "Crashed",
                "message": (
                    f"No sign of life for {silence_seconds} seconds. Nothing that was finished "
                    "is lost: run it again with the same settings, and it goes on."
                ),
            }
        ],
    }


def crash_silent_runs(api: PrefectApi, silence_seconds: int = SILENCE_SECONDS) -> None:
    """Make the automation, or make it anew where it is there already.

    Raises:
        httpx.HTTPError: Prefect's server does not answer.
    """
    found = api.post("/automations/filter", {"automations": {"name": {"any_": [NAME]}}})
    if found:
        api.put(f"/automations/{found[0]['id']}", automation(silence_seconds))
    else:
        api.post("/automations/", automation(silence_seconds))
