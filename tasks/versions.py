"""Versions: the registered models, what became of each, and the way back to a former champion."""

from typing import Any

from data.errors import UserMistake
from tasks.seams.champions import (
    CHALLENGER,
    PROMOTED_AT,
    ROLLED_BACK_AT,
    Champions,
    Standing,
    Version,
)
from tasks.seams.promotion import TAG
from tasks.seams.tracking import without_password


def versions(tracking_uri: str) -> dict[str, Any]:
    """The registered models, the newest first: `bookloom models`.

    Returns:
        `champion`, `challenger` and `before` (to which a rollback returns), as URIs or None; and
        `models`, each with what its promotion came to.

    Raises:
        UserMistake: there is none.
    """
    standing = _standing(Champions(tracking_uri), tracking_uri)
    challenger = standing.versions.get(standing.aliases.get(CHALLENGER, 0))
    return {
        "registry": without_password(tracking_uri),
        "champion": _uri(standing.champion),
        "challenger": _uri(challenger),
        "before": _uri(standing.before),
        "models": [_told(version, standing) for version in standing.versions.values()],
    }


def roll_back(tracking_uri: str) -> dict[str, Any]:
    """Make the champion before the present one champion again: `bookloom rollback`.

    Returns:
        `rolled_back` and `champion`, the URIs of the one that was and of the one that is.

    Raises:
        UserMistake: there is no model, no champion, or none before it.
    """
    champions = Champions(tracking_uri)
    _standing(champions, tracking_uri)
    with champions.alone() as changes:
        champion, before = changes.standing.champion, changes.standing.before
        if champion is None:
            raise UserMistake(
                f"No model of {without_password(tracking_uri)} is champion.",
                "bookloom run makes one, or --model names the model to use.",
            )
        if before is None:
            raise UserMistake(
                f"{champion.uri} is champion, and no registered model was before it.",
                "bookloom models shows which there are; --model names one to use.",
            )
        changes.roll_back(champion, before)
    return {"rolled_back": champion.uri, "champion": before.uri}


def _standing(champions: Champions, tracking_uri: str) -> Standing:
    standing = champions.standing()
    if not standing.versions:
        raise UserMistake(
            f"There is no model in {without_password(tracking_uri)} yet.",
            "Make one first: bookloom run.",
        )
    return standing


def _told(version: Version, standing: Standing) -> dict[str, Any]:
    tags = version.tags
    verdict = tags.get(TAG)
    if verdict == "refused" and version == standing.champion:
        verdict = "refused before"  # since then the one that it was held against was rolled back
    figures = ("nats_per_character", "champion_nats_per_character", "improvement_at_least")
    return {
        "model": version.uri,
        "aliases": list(version.aliases),
        "digest": version.digest,
        "mlflow_run_id": version.mlflow_run_id,
        "registered_unix_seconds": version.unix_seconds,
        "verdict": verdict,
        "reason": tags.get(f"{TAG}.reason"),
        "held_against": tags.get(f"{TAG}.champion_before"),
        **{
            name: float(tags[key]) if (key := f"{TAG}.{name}") in tags else None for name in figures
        },
        "promoted_at": tags.get(PROMOTED_AT),
        "rolled_back_at": tags.get(ROLLED_BACK_AT),
    }


def _uri(version: Version | None) -> str | None:
    return version.uri if version else None
