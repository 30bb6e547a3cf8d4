"""Isolation and miniature books: no test reads the user's Prefect profile or MLflow settings."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from py3langid.langid import LanguageIdentifier

from tests.miniature import MiniatureRun, tiny_settings
from tests.servers.object_store import ObjectStore
from tests.servers.prefect_database import SHARED, put_database

# Machines are noisy: no example is held to a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
IS_FIRST = SHARED not in os.environ  # of the processes of the tests
if IS_FIRST:
    os.environ[SHARED] = tempfile.mkdtemp(prefix="bookloom-tests-")
HOME = Path(tempfile.mkdtemp(dir=os.environ[SHARED]))
OUTSIDE = ("PREFECT_", "MLFLOW_", "AWS_", "FSSPEC_")
for name in [key for key in os.environ if key.startswith(OUTSIDE)]:
    del os.environ[name]
os.environ |= {
    "BOOKLOOM_HOME": str(HOME),
    "PREFECT_HOME": str(HOME / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
    # On busy cores, threads that wait for each other cost more than they bring.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
(HOME / "prefect").mkdir()


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    if IS_FIRST:
        shutil.rmtree(os.environ[SHARED], ignore_errors=True)


HOSTILE_TITLES = (
    "<script>alert(1)</script> | *A* Tale",
    "\u202e# Tale <img src=x onerror=alert(2)> ![b](javascript:alert(3)) `c` &lt;",
)
WHO = ("the king", "a sailor", "my lady", "the captain", "an old fool")
DOES = ("sees", "loves", "follows", "forgets", "praises")
WHAT = ("the sea", "a crown", "the moon", "my heart", "an empty house")
HOW = ("at night", "in vain", "with joy", "for ever", "too late")


def miniature_book(seed: int, num_chapters: int = 4, sentences: int = 40) -> str:
    """A made-up book of chapters whose sentences follow a small grammar."""
    draw = random.Random(seed)
    chapters = []
    for number in range(1, num_chapters + 1):
        lines = [
            f"{draw.choice(WHO).capitalize()} {draw.choice(DOES)} {draw.choice(WHAT)} "
            f"{draw.choice(HOW)}{draw.choice('.!?')}"
            for _ in range(sentences)
        ]
        paragraphs = [" ".join(lines[i : i + 5]) for i in range(0, sentences, 5)]
        chapters.append(f"CHAPTER {number}\n\n" + "\n\n".join(paragraphs))
    return "\n\n".join(chapters) + "\n"


@pytest.fixture(scope="session", autouse=True)
def languages_loaded_once() -> Iterator[None]:
    """Runs read the model that tells languages anew, for a second each."""
    load = cache(LanguageIdentifier.from_model_file)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LanguageIdentifier, "from_model_file", load)
        yield


@pytest.fixture(scope="session")
def miniature_shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five miniature books."""
    shelf = tmp_path_factory.mktemp("shelf")
    for seed in range(5):
        title = HOSTILE_TITLES[seed] if seed < len(HOSTILE_TITLES) else f"Tale {seed}"
        header = f"The Project Gutenberg eBook of {title}\n\nTitle: {title}\n\n"
        text = header + miniature_book(seed)
        (shelf / f"tale_{seed}.txt").write_text(text, encoding="utf-8")
    return shelf


@pytest.fixture(scope="session")
def second_shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three miniature books by an author who says `admiral` for `captain`."""
    shelf = tmp_path_factory.mktemp("second_shelf")
    for seed in range(20, 23):
        text = miniature_book(seed).replace("captain", "admiral")
        (shelf / f"novel_{seed}.txt").write_text(text, encoding="utf-8")
    return shelf


@pytest.fixture(scope="session")
def prefect_url() -> Iterator[str]:
    """The address of a Prefect server that lives as long as the tests."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )

    from flows.temporary_server import prefect_server

    database = put_database(HOME / "server")
    own = {PREFECT_SERVER_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{database}"}
    with temporary_settings(own), prefect_server(str):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def miniature_run(
    prefect_url: str, miniature_shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> MiniatureRun:
    """The whole pipeline, run once on the miniature shelf, in a store of its own."""
    from flows.environment import tracking_uri
    from flows.running import run_pipeline

    store = tmp_path_factory.mktemp("store")
    settings = tiny_settings(miniature_shelf, store)
    return MiniatureRun(settings, store, tracking_uri(), run_pipeline(settings))


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """An S3 server, whose clients find it by this process's environment."""
    for package in ("moto.server", "boto3", "s3fs"):
        pytest.importorskip(package, reason=f"{package} is not installed: see the extra `test`")
    with pytest.MonkeyPatch.context() as patched, ObjectStore().serving() as store:
        for name, value in store.environment.items():
            patched.setenv(name, value)
        yield store
