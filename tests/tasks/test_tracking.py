"""What MLflow is told, and where people find it."""

from types import SimpleNamespace

import pytest

from tasks.seams import tracking
from tasks.seams.tracking import UI_URL, Page, open_tracker

RUN = "#/experiments/7/runs/a"


class Client:
    """Knows one experiment."""

    def get_run(self, run_id: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(experiment_id="7", run_id=run_id))


@pytest.mark.parametrize(
    ("tracking_uri", "known_as", "address"),
    [
        ("http://mlflow:5000", "", "http://mlflow:5000"),
        ("http://weaver:hush@mlflow:5000/", "", "http://mlflow:5000"),
        ("http://mlflow:5000", "https://mlflow.example.org/", "https://mlflow.example.org"),
        ("sqlite:///mlflow.db", "https://mlflow.example.org", "https://mlflow.example.org"),
    ],
)
def test_a_run_s_page_is_where_people_find_it(
    monkeypatch: pytest.MonkeyPatch, tracking_uri: str, known_as: str, address: str
) -> None:
    monkeypatch.setattr(tracking, "open_client", lambda _: Client())
    monkeypatch.setenv(UI_URL, known_as)
    assert open_tracker(tracking_uri).page("a") == Page(f"{address}/{RUN}", None)


def test_without_a_server_a_command_opens_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "open_client", lambda _: Client())
    monkeypatch.delenv(UI_URL, raising=False)
    page = open_tracker("sqlite:///mlflow.db").page("a")
    assert page is not None and page.address == f"http://127.0.0.1:5000/{RUN}"
    assert page.command is not None and page.command.endswith("'sqlite:///mlflow.db'")
