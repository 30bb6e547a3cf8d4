"""Prefect's REST API asked without Prefect: its client takes seconds and 100 MB to load."""

import base64
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

AT_ONCE = 200  # the server's limit for one answer
WAITS_SECONDS = (0.2, 0.5, 1.0)


class PrefectApi:
    """A Prefect server. All methods raise httpx.HTTPError where it does not answer, or refuses."""

    def __init__(self, url: str, auth_string: str | None, timeout_seconds: float = 30) -> None:
        headers = {}
        if auth_string:
            encoded = base64.b64encode(auth_string.encode()).decode("ascii")
            headers["Authorization"] = f"Basic {encoded}"
        self._client = httpx.Client(
            base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False
        )

    def get(self, path: str) -> Any:
        """What stands at a path."""
        return self._answer("GET", path).json()

    def post(self, path: str, content: Any) -> Any:
        """The answer to a request, none where it has no content."""
        response = self._answer("POST", path, content)
        return response.json() if response.content else None

    def put(self, path: str, content: Any) -> None:
        """Put something at a path."""
        self._answer("PUT", path, content)

    def every(self, kind: str, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """All of a kind, such as flow_runs, that a filter lets pass."""
        offset = 0
        while True:
            asked = {**content, "limit": AT_ONCE, "offset": offset, "sort": "ID_DESC"}
            found = self.post(f"/{kind}/filter", asked)
            yield from found
            if len(found) < AT_ONCE:
                return
            offset += AT_ONCE

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def _answer(self, method: str, path: str, content: Any = None) -> httpx.Response:
        """Ask, and again where the server says that its database is locked just now."""
        for seconds in WAITS_SECONDS:
            response = self._client.request(method, path, json=content)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response.raise_for_status()
            time.sleep(seconds)
        return self._client.request(method, path, json=content).raise_for_status()


def api_at(url: str, timeout_seconds: float = 30) -> PrefectApi:
    """The server at an address, asked with the password that this process's environment holds."""
    auth = os.environ.get("PREFECT_API_AUTH_STRING")
    return PrefectApi(
        url, auth or os.environ.get("PREFECT_SERVER_API_AUTH_STRING"), timeout_seconds
    )


def api_of_environment() -> PrefectApi:
    """The server that this process's environment names."""
    return api_at(os.environ["PREFECT_API_URL"])
