"""Who is champion: promoted, refused, rolled back, by one process and by many at once."""

import itertools
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserMistake
from tasks.seams import registry_lock
from tasks.seams.champions import (
    CHAMPION,
    MODEL_NAME,
    PROMOTED,
    ROLLED_BACK_AT,
    Champions,
    Changes,
    Standing,
    Version,
)
from tasks.seams.promotion import Comparison, Verdict, settled
from tasks.seams.registry import models_in_use, newest_model
from tasks.seams.registry_lock import PREFIX, alone
from tasks.seams.store_lease import Holder
from tasks.seams.tracking import open_client
from tasks.versions import roll_back, versions
from tests.forks import Fork
from tests.tasks.registries import add_version, promote, registry

ROOT = Path(__file__).parents[2]


def champion_of(uri: str) -> int | None:
    champion = Champions(uri).standing().champion
    return champion.number if champion else None


def version(number: int) -> Version:
    return Version(number, {}, (), 0.0, None)


@pytest.mark.parametrize(
    ("promoted", "champion", "former"),
    [
        ((), None, []),
        ((), 2, []),
        ((1,), 1, []),
        ((1, 2, 4), 4, [1, 2]),
        ((1, 2, 4), 2, [1]),  # rolled back, or 4 was promoted by one that died in between
        ((1, 2, 4), 3, [1, 2, 4]),  # by hand
        ((1, 2, 9), 9, [1, 2]),
        ((1, 7, 2), 2, [1]),  # 7 was deleted
    ],
)
def test_who_was_champion_before(
    promoted: tuple[int, ...], champion: int | None, former: list[int]
) -> None:
    known = {number: version(number) for number in (9, 4, 3, 2, 1)}
    standing = Standing(known, {CHAMPION: champion} if champion else {}, promoted)
    assert [one.number for one in standing.former] == former


def test_the_first_the_better_and_the_worse(tmp_path: Path) -> None:
    uri = registry(tmp_path, 5, 7, 6)
    assert Champions(uri).standing().champion is None
    first = promote(uri, 1)
    assert (first["verdict"], first["champion_before"]) == ("promoted", None)
    assert "no champion" in first["reason"]
    better = promote(uri, 2)
    assert (better["verdict"], better["champion_before"]) == ("promoted", "models:/bookloom/1")
    worse = promote(uri, 3)
    assert (worse["verdict"], worse["champion"]) == ("refused", "models:/bookloom/2")
    standing = Champions(uri).standing()
    assert standing.aliases == {"champion": 2, "challenger": 3}
    assert [one.number for one in standing.former] == [1]
    assert promote(uri, 2)["verdict"] == "champion already"
    assert {n: v.tags["promotion"] for n, v in standing.versions.items()} == {
        1: "promoted",
        2: "promoted",
        3: "refused",
    }
    forced = promote(uri, 3, force=True)
    assert (forced["verdict"], forced["champion"]) == ("forced", "models:/bookloom/3")
    standing = Champions(uri).standing()
    assert standing.aliases == {"champion": 3}
    assert standing.versions[3].tags["promotion"] == "forced"


def test_the_same_model_registered_again_changes_nothing(tmp_path: Path) -> None:
    uri = registry(tmp_path, 5, 5)
    promote(uri, 1)
    assert promote(uri, 2, force=True)["verdict"] == "champion already"
    assert champion_of(uri) == 1


def test_back_to_the_one_before_and_no_further(tmp_path: Path) -> None:
    uri = registry(tmp_path, 1, 2, 3)
    with pytest.raises(UserMistake, match="No model of"):
        roll_back(uri)
    for number in (1, 2, 3):
        promote(uri, number)
    told = {"rolled_back": "models:/bookloom/3", "champion": "models:/bookloom/2"}
    assert roll_back(uri) == told
    assert roll_back(uri)["champion"] == "models:/bookloom/1"
    with pytest.raises(UserMistake, match="no registered model was before it"):
        roll_back(uri)
    shown = versions(uri)
    assert (shown["champion"], shown["before"]) == ("models:/bookloom/1", None)
    assert [bool(one["rolled_back_at"]) for one in shown["models"]] == [True, True, False]


def test_what_was_rolled_back_stays_so_unless_forced(tmp_path: Path) -> None:
    uri = registry(tmp_path, 1, 2)
    promote(uri, 1)
    promote(uri, 2)
    roll_back(uri)
    again = promote(uri, 2)
    assert again["verdict"] == "refused"
    assert "rolled back" in again["reason"]
    assert "--force-promotion" in again["remedy"]
    assert promote(uri, 2, force=True)["verdict"] == "forced"
    assert ROLLED_BACK_AT not in Champions(uri).standing().versions[2].tags
    assert promote(uri, 1, force=True)["verdict"] == "forced"
    assert Champions(uri).standing().promoted == (2, 1)
    assert roll_back(uri)["champion"] == "models:/bookloom/2"
    with pytest.raises(UserMistake, match="no registered model was before it"):
        roll_back(uri)


def test_a_promotion_after_a_rollback_returns_to_what_was_then(tmp_path: Path) -> None:
    uri = registry(tmp_path, 1, 2, 3)
    promote(uri, 1)
    promote(uri, 2)
    roll_back(uri)
    promote(uri, 3)
    assert roll_back(uri)["champion"] == "models:/bookloom/1"


def test_models_in_use_are_those_that_may_come_back(tmp_path: Path) -> None:
    uri = registry(tmp_path, 1, 2, 4, 3, 0)
    for number in (1, 2, 3, 4):
        promote(uri, number)
    assert models_in_use(uri) == {
        "digest of 2": "models:/bookloom/2, to which a rollback returns",
        "digest of 4": "models:/bookloom@champion",
        "digest of 3": "models:/bookloom@challenger",
        "digest of 0": "models:/bookloom/5",
    }
    assert newest_model(uri) == "models:/bookloom/5"


def test_a_death_between_two_writes_misleads_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = registry(tmp_path, 1, 2)
    promote(uri, 1)

    def killed(self: Changes, version: Version) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Changes, "_make_champion", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(uri, 2)
    standing = Champions(uri).standing()
    assert standing.champion is not None
    assert (standing.champion.number, standing.former) == (1, [])
    assert promote(uri, 2)["verdict"] == "promoted"
    assert Champions(uri).standing().promoted == (1, 2)


def test_a_champion_that_changed_meanwhile_is_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 is better than 1, but while it is compared 3 becomes champion, which is better still."""
    uri = registry(tmp_path, 1, 2, 3)
    promote(uri, 1)
    alone_before = Champions.alone
    came_before: list[int] = []

    def alone_after_another(self: Champions) -> Any:
        if not came_before:
            came_before.append(3)
            promote(uri, 3)
        return alone_before(self)

    monkeypatch.setattr(Champions, "alone", alone_after_another)
    late = promote(uri, 2)
    assert (late["verdict"], late["champion_before"]) == ("refused", "models:/bookloom/3")
    assert champion_of(uri) == 3


def test_many_processes_make_one_order(tmp_path: Path) -> None:
    """5 processes with 2 models each, at once; a sixth is killed while it is alone."""
    strengths = [*range(10)]
    random.Random(2).shuffle(strengths)
    uri = registry(tmp_path, *strengths)

    def begun(*arguments: str) -> Fork:
        return Fork("tests.tasks.registries", [*arguments], os.environ, tmp_path / arguments[0])

    holder = begun("hold", uri)
    holder.wait_for_output("inside\n")
    working = begun("promote", uri, str(tmp_path), "10", "5")
    working.wait_for_errors("waiting for a change of the champion")
    holder.kill()
    ended = working.ended()
    assert ended.exit_code == 0, ended.errors
    assert "has died or hangs: it is passed" in ended.errors
    standing = Champions(uri).standing()
    strength_of = {n: int(v.tags["strength"]) for n, v in standing.versions.items()}
    order = [strength_of[number] for number in standing.promoted]
    assert order == sorted(set(order))
    assert standing.champion is not None
    assert strength_of[standing.champion.number] == order[-1] == 9
    held_against = {
        n: int(v.tags["promotion.champion_before"].rsplit("/", 1)[-1])
        for n, v in standing.versions.items()
        if "promotion.champion_before" in v.tags
    }
    assert [*itertools.pairwise(standing.promoted)] == [
        (held_against[number], number) for number in standing.promoted[1:]
    ]
    refused = set(strength_of) - set(standing.promoted)
    assert all(standing.versions[n].tags["promotion"] == "refused" for n in refused)
    assert all(strength_of[held_against[n]] > strength_of[n] for n in refused)
    tags = open_client(uri).get_registered_model(MODEL_NAME).tags
    assert [*tags] == [PROMOTED]


def test_one_who_hangs_elsewhere_is_passed_in_time_and_stopped_when_back(tmp_path: Path) -> None:
    uri = registry(tmp_path)
    client = open_client(uri)
    elsewhere = Holder.here("a change").model_copy(update={"machine": "another", "process": 1})
    client.set_registered_model_tag(MODEL_NAME, f"{PREFIX}0", elsewhere.model_dump_json())
    with alone(client, MODEL_NAME, 0.5) as check:
        check()
        client.delete_registered_model_tag(MODEL_NAME, *_own_tags(client))
        with pytest.raises(UserMistake, match="others have passed it"):
            check()
    assert _own_tags(client) == []


def test_the_living_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = registry(tmp_path)
    order: list[str] = []
    is_waiting = threading.Event()

    def said(message: str) -> None:
        assert message.startswith(f"waiting for a change of the champion (process {os.getpid()} ")
        order.append("second waits")
        is_waiting.set()

    def second() -> None:
        with alone(open_client(uri), MODEL_NAME):
            order.append("second in")

    monkeypatch.setattr(registry_lock, "say", said)
    thread = threading.Thread(target=second)
    with alone(open_client(uri), MODEL_NAME):
        thread.start()
        assert is_waiting.wait(timeout=60)
        order.append("first out")
    thread.join(timeout=60)
    assert order == ["second waits", "first out", "second in"]


def test_who_comes_back_is_champion_alone_and_no_refused_one(tmp_path: Path) -> None:
    """1 is refused beside 2, and is what a rollback of 2 returns to."""
    uri = registry(tmp_path, 1, 2)
    for number in (1, 2, 1):
        promote(uri, number)
    assert Champions(uri).standing().aliases == {"champion": 2, "challenger": 1}
    assert [one["verdict"] for one in versions(uri)["models"]] == ["promoted", "refused"]
    roll_back(uri)
    assert Champions(uri).standing().aliases == {"champion": 1}
    shown = versions(uri)
    assert shown["challenger"] is None
    assert [one["verdict"] for one in shown["models"]] == ["promoted", "refused before"]


def compared(uri: str, number: int, verdict: Any, comparison: Comparison | None) -> dict[str, Any]:
    """Settle a model of which the judge says this."""

    def judge(champion: Version) -> Verdict:
        return Verdict(verdict=verdict, reason=f"It is {verdict}.", comparison=comparison)

    return settled(Champions(uri), f"models:/bookloom/{number}", judge, force=False)


FIGURES = Comparison(
    nats_per_character=1.25,
    champion_nats_per_character=1.5,
    improvement=1 / 6,
    improvement_at_least=0.125,
    num_sections=7,
    num_characters=700,
    num_sections_left_out=2,
)


def test_one_judged_again_keeps_nothing_of_what_was_said_before(tmp_path: Path) -> None:
    uri = registry(tmp_path, 1, 2)
    promote(uri, 1)
    compared(uri, 2, "refused", FIGURES)
    assert Champions(uri).standing().versions[2].tags["promotion.num_sections"] == "7"
    compared(uri, 2, "refused", None)
    tags = Champions(uri).standing().versions[2].tags
    assert {name: tag for name, tag in tags.items() if name.startswith("promotion")} == {
        "promotion": "refused",
        "promotion.reason": "It is refused.",
        "promotion.champion_before": "models:/bookloom/1",
    }
    assert (tags["strength"], tags["digest"]) == ("2", "digest of 2")


def test_a_run_that_died_before_its_record_finds_the_figures_again(tmp_path: Path) -> None:
    uri = registry(tmp_path, 1, 2)
    promote(uri, 1)
    first = compared(uri, 2, "promoted", FIGURES)
    again = compared(uri, 2, "refused", None)  # nobody is judged: it is champion
    assert again["verdict"] == "champion already"
    told = "models:/bookloom/2 is the same model. It was promoted: It is promoted."
    assert again["reason"] == told
    assert again["champion_before"] == first["champion_before"] == "models:/bookloom/1"
    for name in Comparison.model_fields:
        assert again[name] == pytest.approx(first[name], rel=1e-5), name
    assert again == compared(uri, 2, "refused", None), "nothing is added up"


def test_versions_are_told_with_what_became_of_them(tmp_path: Path) -> None:
    uri = registry(tmp_path, 2)
    promote(uri, 1)
    add_version(open_client(uri), 1)
    promote(uri, 2)
    newest, first = versions(uri)["models"]
    assert (newest["model"], newest["verdict"]) == ("models:/bookloom/2", "refused")
    assert newest["held_against"] == "models:/bookloom/1"
    assert newest["aliases"] == ["challenger"]
    assert (first["verdict"], first["aliases"]) == ("promoted", ["champion"])
    assert first["nats_per_character"] is None
    with pytest.raises(UserMistake, match="There is no model"):
        versions(registry_without_models(tmp_path))


def registry_without_models(folder: Path) -> str:
    (folder / "other").mkdir()
    return registry(folder / "other")


def _own_tags(client: Any) -> list[str]:
    tags = client.get_registered_model(MODEL_NAME).tags
    return [name for name in tags if name.startswith(PREFIX)]
