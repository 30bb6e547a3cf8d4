"""What is tried again, how often, and what is not made twice."""

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from data.book_schemas import REFUSALS
from data.errors import UserMistake
from data.filesystems import trouble
from data.settings import Settings
from tasks.seams.report import say
from tasks.seams.retrying import may_pass, tried_again
from tasks.seams.run_context import RunContext
from tasks.seams.shards import Shard, shard_task
from tasks.seams.step_cache import StepRun, step
from tests.local_server import QuietHandler, serving


def coming_from(error: Exception, cause: Exception) -> Exception:
    """An error as `raise error from cause` leaves it."""
    error.__cause__ = cause
    return error


def answered(status: int) -> Exception:
    """What httpx raises of an answer."""
    response = httpx.Response(status, request=httpx.Request("GET", "http://127.0.0.1"))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        response.raise_for_status()
    return caught.value


def a_locked_database(tmp_path: Path) -> Exception:
    """What SQLite raises while another writes."""
    path = tmp_path / "one.db"
    with sqlite3.connect(path) as one, sqlite3.connect(path, timeout=0) as other:
        one.execute("create table t (x)")
        one.commit()
        one.execute("begin immediate")
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("begin immediate")
    return caught.value


@pytest.mark.parametrize(
    ("error", "is_worth_it"),
    [
        (ConnectionRefusedError(), True),
        (ConnectionResetError(), True),
        (BrokenPipeError(), True),
        (TimeoutError(), True),
        (OSError(errno.ENETUNREACH, "away"), True),
        (httpx.ConnectError("refused"), True),
        (httpx.ReadTimeout("late"), True),
        (answered(503), True),
        (answered(500), True),
        (answered(429), True),
        (coming_from(RuntimeError("MLflow"), ConnectionRefusedError()), True),
        (answered(404), False),
        (answered(401), False),
        (UserMistake("a", "b"), False),
        (ValueError("bad"), False),
        (AssertionError(), False),
        (MemoryError(), False),
        (PermissionError(errno.EACCES, "no"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EROFS, "read-only"), False),
        (coming_from(OSError(errno.ENOSPC, "full"), ConnectionError()), False),
        (sqlite3.OperationalError("no such table: runs"), False),
    ],
    ids=repr,
)
def test_what_may_pass(error: Exception, is_worth_it: bool) -> None:
    assert may_pass(error) == is_worth_it


def test_troubles_of_a_store_are_judged_by_what_they_come_from() -> None:
    away = coming_from(trouble("s3://b/k", OSError("a"), is_local=False), ConnectionError())
    full = coming_from(trouble("/s/k", OSError("a"), is_local=True), OSError(errno.ENOSPC, "full"))
    assert may_pass(away)
    assert not may_pass(full)


def test_a_database_that_is_locked_may_pass(tmp_path: Path) -> None:
    assert may_pass(a_locked_database(tmp_path))


def test_errors_of_mlflow_and_of_object_stores() -> None:
    from mlflow.exceptions import MlflowException, RestException

    away = "TEMPORARILY_UNAVAILABLE"
    assert may_pass(RestException({"error_code": away, "message": "soon"}))
    assert may_pass(RestException({"error_code": "INTERNAL_ERROR", "message": "broken"}))
    assert not may_pass(RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}))
    assert not may_pass(MlflowException("a name that may not be"))
    botocore = pytest.importorskip("botocore.exceptions", reason="boto3 is in the extra `team`")
    for status, is_worth_it in ((503, True), (403, False)):
        answer = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        assert may_pass(botocore.ClientError(answer, "PutObject")) == is_worth_it
    assert may_pass(botocore.EndpointConnectionError(endpoint_url="http://127.0.0.1"))


class Failing(QuietHandler):
    """Fails as often as it is told to, then answers."""

    failures: list[int]
    num_asked = 0

    def get(self) -> None:
        Failing.num_asked += 1
        self.answer(self.failures.pop(0) if self.failures else 200, b"there")


@pytest.mark.parametrize(
    ("failures", "num_asked", "answer"),
    [
        ([503, 429], 3, "there"),
        ([503] * 9, 3, "HTTPStatusError"),
        ([404, 404], 1, "HTTPStatusError"),
    ],
    ids=["passes", "lasts", "no use"],
)
def test_a_server_is_asked_as_often_as_that_can_help(
    prefect_url: str, failures: list[int], num_asked: int, answer: str
) -> None:
    Failing.failures, Failing.num_asked = failures, 0

    @task(cache_policy=NO_CACHE, persist_result=False, **tried_again(0.01))
    def ask(url: str) -> str:
        return httpx.get(url, trust_env=False).raise_for_status().text

    @flow(persist_result=False)
    def asking(url: str) -> str:
        try:
            return ask(url)
        except httpx.HTTPStatusError as error:
            return type(error).__name__

    with serving(Failing) as url:
        assert asking(url) == answer
    assert Failing.num_asked == num_asked


class NoSettings(Settings):
    pass


FAILS: list[Callable[[], Exception]] = []
WORKED_ON: list[int] = []


@shard_task
def copy_shard(shard: Shard) -> None:
    if FAILS and shard.number == 1:
        raise FAILS.pop()()
    WORKED_ON.append(shard.number)
    with shard.writer(REFUSALS) as writer:
        row = {name: [str(shard.number)] for name in ("source", "step", "reason", "remedy")}
        writer.write({**row, "offset": [shard.number]})


@step(writes=(REFUSALS,))
def copied(run: StepRun, settings: NoSettings) -> None:
    run.over_shards(copy_shard, [{}] * 3, writes=(REFUSALS,), sizes=[1] * 3, unit="shards")
    with run.writer(REFUSALS) as writer:
        for name in run.made_parts(REFUSALS):
            writer.write_table(run.store.read_table(name))
    say("copied")


@flow(persist_result=False)
def copying(store: str) -> int:
    context = RunContext(
        store=store, seed=1, num_threads=1, tracking_uri=None, mlflow_run_id=None, provenance={}
    )
    impatient: Any = copied.with_options(retry_delay_seconds=0)
    return int(impatient(context, NoSettings()).tables["refusals"].num_rows)


def test_a_step_that_is_tried_again_makes_no_shard_twice(prefect_url: str, tmp_path: Path) -> None:
    FAILS[:], WORKED_ON[:] = [ConnectionResetError, TimeoutError], []
    assert copying(str(tmp_path)) == 3
    assert not FAILS
    assert WORKED_ON == [0, 1, 2]


def test_a_mistake_is_told_at_once(prefect_url: str, tmp_path: Path) -> None:
    FAILS[:], WORKED_ON[:] = [lambda: UserMistake("no", "yes")] * 2, []
    with pytest.raises(UserMistake, match="no yes"):
        copying(str(tmp_path))
    assert len(FAILS) == 1, "it was tried once"
