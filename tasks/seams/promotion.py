"""Promotion: a new model is held against the champion, and who is champion is settled.

Models are judged while others may run; what was found is put down while nobody else does, and only
if the champion is still the one that was judged. Otherwise the new model is judged again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks.seams.champions import ROLLED_BACK_AT, Champions, Changes, Standing, Version
from tasks.seams.report import say

TAG = "promotion"
FORCE = "bookloom run --force-promotion (the setting promote.force) promotes it all the same."


class Comparison(BaseModel):
    """Two models on the same held-out text."""

    model_config = ConfigDict(frozen=True)

    nats_per_character: float
    """Of the new model."""
    champion_nats_per_character: float
    improvement: float
    """The share of the champion's nats that the new model saves."""
    improvement_at_least: float
    """Its lower confidence bound."""
    num_sections: int
    """Sections that neither has learned from: those that count."""
    num_characters: int
    num_sections_left_out: int
    """Held-out sections that one of the two has learned from or was tuned on."""


class Verdict(BaseModel):
    """Whether a model is to be the champion, and why."""

    model_config = ConfigDict(frozen=True)

    verdict: Literal["promoted", "forced", "refused", "champion already"]
    reason: str
    remedy: str | None = None
    comparison: Comparison | None = None
    training_text_known: bool | None = None
    """Whether it is known what the champion and the new model have learned from."""
    scores: dict[str, Any] | None = None
    """The table of both models' costs by section."""


Judge = Callable[[Version], Verdict]


def settled(champions: Champions, model_uri: str, judge: Judge, *, force: bool) -> dict[str, Any]:
    """Settle who is champion, now that there is a new model.

    Args:
        champions: the registry.
        model_uri: the new model's.
        judge: compares the new model with a champion.
        force: promote it whatever the judge says.

    Returns:
        What the run says of it: the verdict, flat, with the models' URIs.
    """
    while True:
        standing = champions.standing()
        [model] = [one for one in standing.versions.values() if one.uri == model_uri]
        champion = standing.champion
        verdict = _decided(model, champion, judge, force=force)
        with champions.alone() as changes:
            if _number(changes.standing) == _number(standing):
                return _put_down(changes, model, champion, verdict)
        say("another run has changed the champion meanwhile: the models are compared again")


def tags_of(promotion: Mapping[str, Any]) -> dict[str, str]:
    """A promotion as MLflow's tags, which can be searched."""
    tags = {TAG: promotion["verdict"]}
    names = ("reason", "champion_before", *Comparison.model_fields)
    return tags | {
        f"{TAG}.{name}": f"{value:.6g}" if isinstance(value, float) else str(value)
        for name in names
        if (value := promotion[name]) is not None
    }


def _decided(model: Version, champion: Version | None, judge: Judge, *, force: bool) -> Verdict:
    if champion is None:
        return Verdict(verdict="promoted", reason="There was no champion.")
    if champion.number == model.number or (model.digest and champion.digest == model.digest):
        return _champion_already(champion)
    found = judge(champion)
    rolled_back_at = model.tags.get(ROLLED_BACK_AT)
    if found.verdict == "promoted" and rolled_back_at:
        reason = f"It was champion and was rolled back, {rolled_back_at}. {found.reason}"
        found = found.model_copy(update={"verdict": "refused", "reason": reason, "remedy": FORCE})
    if found.verdict == "refused" and force:
        return found.model_copy(update={"verdict": "forced", "remedy": None})
    return found


def _champion_already(champion: Version) -> Verdict:
    """With what its tags say of how it was judged: the run that made it champion may have died
    before that was in its record, and have come again.
    """
    reason, told = f"{champion.uri} is the same model.", champion.tags.get(f"{TAG}.reason")
    if told:
        reason += f" It was {champion.tags.get(TAG)}: {told}"
    names = {name: f"{TAG}.{name}" for name in Comparison.model_fields}
    figures = {name: champion.tags[tag] for name, tag in names.items() if tag in champion.tags}
    is_known = figures.keys() == names.keys()
    comparison = Comparison.model_validate(figures) if is_known else None
    return Verdict(verdict="champion already", reason=reason, comparison=comparison)


def _put_down(
    changes: Changes, model: Version, champion: Version | None, verdict: Verdict
) -> dict[str, Any]:
    is_promoted = verdict.verdict in ("promoted", "forced")
    now = model if is_promoted else champion
    assert now is not None, "without a champion a model is promoted"
    before = champion.uri if champion else None
    if verdict.verdict == "champion already" and verdict.comparison:
        before = now.tags.get(f"{TAG}.champion_before")  # the one of the figures
    content = verdict.model_dump(mode="json")
    comparison = content.pop("comparison") or dict.fromkeys(Comparison.model_fields)
    promotion = {
        **content,
        "model": model.uri,
        "champion_before": before,
        "champion": now.uri,
        **comparison,
    }
    if verdict.verdict != "champion already":
        changes.retag(model, TAG, tags_of(promotion))
    if is_promoted:
        changes.crown(model)
    elif verdict.verdict == "refused":
        changes.refuse(model)
    return promotion


def _number(standing: Standing) -> int | None:
    return standing.champion.number if standing.champion else None
