"""Runs that have fallen silent, wherever they ran: an automation of Prefect sets them to Crashed.

On this machine `dead_runs` sees sooner, and surely, that a process is gone.
"""

from typing import Any

from flows.prefect_api import PrefectApi

NAME = "bookloom: a run without a sign of life is crashed"
SILENCE_SECONDS = 900
"""In which bookloom's runs give thirty signs of life, others, at Prefect's own interval, five: a
busy machine, or a server that was away, is no lost run."""
FELL_SILENT = "No sign of life"
"""How the message of the automation's state begins."""
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
                    f"{FELL_SILENT} for {silence_seconds} seconds. Nothing that was finished "
                    "is lost: run it again with the same settings, and it goes on."
                ),
            }
        ],
    }


def crash_silent_runs(api: PrefectApi, silence_seconds: int = SILENCE_SECONDS) -> None:
    """Make the automation, or make it anew where it is there already; turned off, it stays so.

    Raises:
        httpx.HTTPError: Prefect's server does not answer.
    """
    found = api.post("/automations/filter", {"automations": {"name": {"any_": [NAME]}}})
    if found:
        anew = {**automation(silence_seconds), "enabled": found[0]["enabled"]}
        api.put(f"/automations/{found[0]['id']}", anew)
    else:
        api.post("/automations/", automation(silence_seconds))
