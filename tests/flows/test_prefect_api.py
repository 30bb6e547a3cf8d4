"""Prefect's REST API asked directly: who is busy is asked again, who refuses is not."""

from collections.abc import Callable

import httpx
import pytest

from flows import prefect_api
from flows.prefect_api import PrefectApi


@pytest.fixture
def api_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[PrefectApi, list[str]]]:
    """A server that answers with these statuses, one after another, and what it was asked."""
    monkeypatch.setattr(prefect_api, "WAITS_SECONDS", (0.0, 0.0))

    def made(*statuses: int) -> tuple[PrefectApi, list[str]]:
        left, asked = list(statuses), []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(f"{request.method} {request.url.path} {request.content.decode()}")
            return httpx.Response(left.pop(0), json={"number": len(asked)})

        api = PrefectApi("http://prefect/api", None)
        client = httpx.Client(base_url="http://prefect/api", transport=httpx.MockTransport(answer))
        monkeypatch.setattr(api, "_client", client)
        return api, asked

    return made


def test_a_locked_database_is_waited_for(
    api_that_answers: Callable[..., tuple[PrefectApi, list[str]]],
) -> None:
    api, asked = api_that_answers(503, 503, 200)
    assert api.post("/flows/filter", {"limit": 1}) == {"number": 3}
    assert asked == ['POST /api/flows/filter {"limit":1}'] * 3


@pytest.mark.parametrize("statuses", [(503, 503, 503), (401,), (500,)])
def test_what_lasts_or_is_refused_is_told(
    statuses: tuple[int, ...], api_that_answers: Callable[..., tuple[PrefectApi, list[str]]]
) -> None:
    api, asked = api_that_answers(*statuses)
    with pytest.raises(httpx.HTTPStatusError, match=str(statuses[-1])):
        api.get("/health")
    assert len(asked) == len(statuses)
