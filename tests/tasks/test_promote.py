"""Verdicts on sections whose costs are written by hand, and on champions that can't be had."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prefect import flow

import tasks.promote
from data.errors import UserMistake
from data.model_schemas import SECTION_SCORES
from tasks.promote import PromoteSettings, promote, promotion_text, verdict_on
from tasks.seams.champions import Champions, Version
from tasks.seams.promotion import settled
from tasks.seams.registry import NoModel
from tasks.seams.retrying import may_pass
from tasks.seams.run_context import RunContext
from tasks.seams.tracking import open_tracker
from tests.tasks.registries import registry

URI = "models:/bookloom/3"


def scores(
    nats: Sequence[float],
    champion_nats: Sequence[float],
    learned: Sequence[int] = (),
    champion_learned: Sequence[int] = (),
) -> pa.Table:
    """A table of sections of 100 characters each."""
    number = len(nats)
    columns = {
        "book_id": ["b"] * number,
        "section_index": range(number),
        "num_tokens": [20] * number,
        "num_characters": [100] * number,
        "nats": nats,
        "champion_nats": champion_nats,
        "num_unknown": [0] * number,
        "champion_num_unknown": [0] * number,
        "learned": [index in learned for index in range(number)],
        "champion_learned": [index in champion_learned for index in range(number)],
    }
    return pa.table({k: [*v] for k, v in columns.items()}, SECTION_SCORES.schema)


def test_better_everywhere_by_more_than_the_margin() -> None:
    verdict = verdict_on(scores([90.0, 180.0], [100.0, 200.0]), PromoteSettings(), URI, 1)
    assert verdict.verdict == "promoted"
    assert verdict.remedy is None
    assert verdict.comparison is not None
    assert verdict.comparison.nats_per_character == pytest.approx(1.35)
    assert verdict.comparison.champion_nats_per_character == pytest.approx(1.5)
    assert verdict.comparison.improvement == pytest.approx(0.1)
    assert verdict.comparison.improvement_at_least == pytest.approx(0.1)
    assert (verdict.comparison.num_sections, verdict.comparison.num_characters) == (2, 200)
    assert verdict.reason == (
        "It takes 1.3500 nats per character where models:/bookloom/3 takes 1.5000, on 2 sections "
        "that neither has learned from: better by 10.00%, by at least 10.00% with 95% confidence. "
        "The margin is 0.20%."
    )


@pytest.mark.parametrize("margin", [0.1, 0.2])
def test_better_by_no_more_than_the_margin(margin: float) -> None:
    settings = PromoteSettings(margin=margin)
    verdict = verdict_on(scores([90.0, 180.0], [100.0, 200.0]), settings, URI, 1)
    assert verdict.verdict == "refused"
    assert verdict.remedy is not None
    assert "--force-promotion" in verdict.remedy


def test_better_by_chance_or_worse() -> None:
    lucky = scores([101.0] * 9 + [0.0], [100.0] * 10)
    for table in (lucky, scores([102.0] * 9, [100.0] * 9)):
        verdict = verdict_on(table, PromoteSettings(), URI, 1)
        assert verdict.verdict == "refused"
        assert verdict.comparison is not None
        assert verdict.comparison.improvement_at_least < 0


def test_what_one_has_learned_from_does_not_count() -> None:
    """The new model is better on what it has seen, the champion on what that has; worse on the
    rest."""
    table = scores(
        [1.0, 200.0, 110.0, 110.0, 110.0],
        [100.0, 1.0, 100.0, 100.0, 100.0],
        learned=[0],
        champion_learned=[1],
    )
    verdict = verdict_on(table, PromoteSettings(), URI, 1)
    assert verdict.verdict == "refused"
    assert verdict.comparison is not None
    assert verdict.comparison.improvement == pytest.approx(-0.1)
    assert (verdict.comparison.num_sections, verdict.comparison.num_sections_left_out) == (3, 2)


@pytest.mark.parametrize("champion_learned", [[0, 1, 2], [0, 1]])
def test_nothing_left_to_compare(champion_learned: list[int]) -> None:
    table = scores([1.0] * 3, [9.0] * 3, champion_learned=champion_learned)
    verdict = verdict_on(table, PromoteSettings(), URI, 1)
    assert (verdict.verdict, verdict.comparison) == ("refused", None)
    assert f"Of 3 test sections, {3 - len(champion_learned)} are new to both" in verdict.reason
    assert verdict.remedy is not None
    assert "Read books that neither" in verdict.remedy


def test_it_is_told_in_a_line() -> None:
    told = promotion_text({"verdict": "refused", "reason": "It is worse.", "remedy": "Train more."})
    assert told == "refused. It is worse. Train more."
    told = promotion_text({"verdict": "promoted", "reason": "It is better.", "remedy": None})
    assert told == "promoted. It is better."


def judged(monkeypatch: pytest.MonkeyPatch, unread: Exception) -> Any:
    """The verdict on a new model where the champion is not read, for that reason."""

    def read(tracking_uri: str, uri: str) -> None:
        raise unread

    monkeypatch.setattr(tasks.promote, "read_bundle", read)
    champion = Version(3, {}, (), 0.0, None)
    never_asked: Any = None
    return tasks.promote._judged(context(), PromoteSettings(), never_asked, [], champion)


def test_a_champion_that_is_gone_refuses_and_may_be_overruled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdict = judged(monkeypatch, NoModel("There is none.", "Name another."))
    assert (verdict.verdict, verdict.reason) == ("refused", "There is none.")
    assert "--force-promotion" in verdict.remedy


def test_a_champion_that_is_out_of_reach_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    away = UserMistake("It can't be read.", "Try again.")
    away.__cause__ = ConnectionRefusedError()
    with pytest.raises(UserMistake, match="can't be read") as raised:
        judged(monkeypatch, away)
    assert may_pass(raised.value), "the step is tried again"


def test_a_registry_that_is_away_for_a_moment_does_not_fail_the_run(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It goes away when the model is champion and that was not said yet: the second try says it."""
    uri = registry(tmp_path, 1)
    added: list[Any] = []
    failures = [ConnectionResetError()]

    def settled_and_cut_off(*arguments: Any, **more: Any) -> Any:
        promotion = settled(*arguments, **more)
        if failures:
            raise failures.pop()
        return promotion

    monkeypatch.setattr(tasks.promote, "settled", settled_and_cut_off)
    monkeypatch.setattr(tasks.promote, "open_tracker", lambda _: open_tracker(None))
    monkeypatch.setattr(tasks.promote, "add_to_record", lambda *about: added.append(about[-1]))

    @flow(persist_result=False)
    def promoting() -> Any:
        impatient: Any = promote.with_options(retry_delay_seconds=0)
        return impatient(context(uri, tmp_path), PromoteSettings(), 0.0, "models:/bookloom/1", [])

    promotion = promoting()
    assert not failures
    assert promotion["champion"] == "models:/bookloom/1"
    assert "It was promoted: There was no champion." in promotion["reason"]
    assert added == [{"promotion": promotion}]
    assert Champions(uri).standing().promoted == (1,)


def context(tracking_uri: str = "sqlite:///none.db", store: Path = Path()) -> RunContext:
    return RunContext(
        store=str(store),
        seed=1,
        num_threads=1,
        tracking_uri=tracking_uri,
        mlflow_run_id=None,
        provenance={},
    )
