"""A store on S3: what others write is seen at once, failing requests change no digest, and what is
away is neither missing nor damaged.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import httpx
import pytest

from data.errors import UserMistake
from data.filesystems import StoreTrouble
from data.store import Store
from tasks.lineage import lineage
from tasks.prune import prune, what_to_prune
from tasks.seams.tracking import NO_TRACKING
from tasks.verify import verify
from tasks.why import why
from tests.servers.object_store import RESET, ObjectStore
from tests.tasks.small_runs import small_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    return object_store.new_bucket(f"b{uuid.uuid4().hex}").removeprefix("s3://")


@pytest.fixture
def new_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Clients that come hear this of the environment, and not what those before them heard."""
    forget = fsspec.get_filesystem_class("s3").clear_instance_cache

    def hear(**variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                monkeypatch.delenv(name)
            else:
                monkeypatch.setenv(name, value)
        forget()

    yield hear
    forget()


def digests(summary: dict[str, Any]) -> dict[str, str]:
    return {name: table["digest"] for name, table in summary["tables"].items()}


def test_what_others_write_and_remove_is_seen_at_once(bucket: str) -> None:
    store, other = Store(f"s3://{bucket}/store"), boto3.client("s3")
    for content in (b"one", b"another"):
        assert store.names("steps/read") == []
        assert store.files("") == {}
        assert not store.exists("steps/read/1/manifest.json")
        other.put_object(Bucket=bucket, Key="store/steps/read/1/manifest.json", Body=content)
        assert store.names("steps/read") == ["steps/read/1"]
        assert store.names("steps/read/1") == ["steps/read/1/manifest.json"]
        assert store.files("") == {"steps/read/1/manifest.json": len(content)}
        assert store.exists("steps/read/1")
        assert store.exists("steps/read/1/manifest.json")
        assert store.size("steps/read/1/manifest.json") == len(content)
        assert store.read_bytes("steps/read/1/manifest.json") == content
        other.delete_object(Bucket=bucket, Key="store/steps/read/1/manifest.json")


def test_a_store_may_be_a_whole_bucket(bucket: str) -> None:
    store = Store(f"s3://{bucket}")
    assert store.names("") == []
    store.write_bytes("runs/1.json", b"{}")
    assert store.files("") == {"runs/1.json": 2}
    assert store.path("runs/1.json") == f"s3://{bucket}/runs/1.json"


def test_a_run_gives_the_digests_that_it_gives_in_a_folder(bucket: str, tmp_path: Path) -> None:
    root = f"s3://{bucket}/store"
    on_s3, in_folder = small_run(root), small_run(tmp_path)
    assert digests(on_s3) == digests(in_folder)
    assert small_run(root)["recomputed"] == []
    changed = small_run(root, greeting="farewell")
    assert changed["recomputed"] == ["words", "names"]
    explained = why(root, "refusals")
    assert explained["own_reasons"] == ['setting greeting: "hail" -> "farewell"']
    tree = lineage(root, changed["tables"]["warm_start_sections"]["path"])
    assert tree["inputs"][0]["inputs"][0]["table"] == "metrics"
    assert (verify(root)["sound"], verify(root)["num_results"]) == (True, 5)
    prune(root, NO_TRACKING, what_to_prune(root, NO_TRACKING, 1))
    assert (verify(root)["sound"], verify(root)["num_results"]) == (True, 3)


@pytest.mark.faults
def test_one_request_in_ten_may_fail(
    bucket: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    root = f"s3://{bucket}/store"
    object_store.failures.clear()
    with object_store.failing(0.1):
        summary = small_run(root)
        assert small_run(root)["recomputed"] == []
        assert verify(root)["sound"]
    assert set(object_store.failures) == {"500", "503", RESET}
    assert digests(summary) == digests(small_run(tmp_path))
    assert verify(root)["damage"] == []


def test_a_store_that_is_away_is_told_and_nothing_is_lost(
    bucket: str, object_store: ObjectStore, new_clients: Callable[..., None]
) -> None:
    root = f"s3://{bucket}/store"
    small_run(root)
    store = Store(root)
    [table] = [name for name in store.files("") if name.endswith("/metrics.parquet")]
    before = store.files("steps")
    new_clients(AWS_MAX_ATTEMPTS="1")
    store = Store(root)
    calls = {
        "exists": lambda: store.exists(table),
        "names": lambda: store.names("steps"),
        "files": lambda: store.files(""),
        "size": lambda: store.size(table),
        "sha256": lambda: store.sha256(table),
        "read_bytes": lambda: store.read_bytes(table),
        "read_table": lambda: store.read_table(table),
        "lineage": lambda: store.lineage(table),
        "delete": lambda: store.delete(table),
        "delete_folder": lambda: store.delete_folder("steps"),
        "write_bytes": lambda: store.write_bytes("new", b"new"),
        "run": lambda: small_run(root),
        "verify": lambda: verify(root),
    }
    with object_store.failing(1.0):
        for name, call in calls.items():
            with pytest.raises(StoreTrouble, match=f"s3://{bucket}/store") as caught:
                call()
            assert caught.value.may_pass, name
            assert "AWS_ENDPOINT_URL" in caught.value.remedy, name
    # Of what was written no one knows: some of it came through, though the answer did not.
    assert {k: size for k, size in store.files("").items() if k.startswith("steps/")} == before
    assert small_run(root)["recomputed"] == []


def test_a_store_that_goes_away_while_it_is_read_is_not_damaged(
    bucket: str, object_store: ObjectStore, new_clients: Callable[..., None]
) -> None:
    small_run(f"s3://{bucket}")
    new_clients(AWS_MAX_ATTEMPTS="1")
    store = Store(f"s3://{bucket}")
    [table] = [name for name in store.files("") if name.endswith("/metrics.parquet")]
    groups = store.row_groups(table)
    with object_store.failing(1.0), pytest.raises(StoreTrouble):
        list(groups)
    assert sum(rows.num_rows for rows in store.row_groups(table)) == 5000


def test_a_bucket_that_is_not_there_is_told(object_store: ObjectStore) -> None:
    with pytest.raises(StoreTrouble, match="s3://no-such-bucket/store/") as caught:
        small_run("s3://no-such-bucket/store")
    assert "bucket" in caught.value.remedy
    assert not caught.value.may_pass


def test_wrong_credentials_are_told(
    bucket: str, object_store: ObjectStore, new_clients: Callable[..., None]
) -> None:
    new_clients(AWS_ACCESS_KEY_ID="nobody")
    httpx.post(f"{object_store.url}/moto-api/reset-auth", content=b"0")  # moto now looks at them
    try:
        with pytest.raises(StoreTrouble, match=f"s3://{bucket}/") as caught:
            small_run(f"s3://{bucket}")
    finally:
        httpx.post(f"{object_store.url}/moto-api/reset-auth", content=b"inf")
    assert "AWS_ACCESS_KEY_ID" in caught.value.remedy


def test_no_credentials_are_told(
    bucket: str, object_store: ObjectStore, new_clients: Callable[..., None]
) -> None:
    new_clients(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    with pytest.raises(StoreTrouble, match="credentials") as caught:
        small_run(f"s3://{bucket}")
    assert "credentials" in caught.value.remedy


WITHOUT_S3FS = """
import sys
sys.modules["s3fs"] = None
from flows.command_line import main
sys.argv[1:] = ["verify", "--json"]
main()
"""


def test_a_package_that_is_not_installed_is_told(tmp_path: Path) -> None:
    environment = {**os.environ, "BOOKLOOM_STORE": "s3://bucket/store", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_S3FS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stdout)["error"]
    assert "s3fs" in error["message"]
    assert ".[team]" in error["remedy"]


def test_an_address_that_nobody_knows_is_told() -> None:
    with pytest.raises(UserMistake, match="gopher://hole cannot be opened"):
        Store("gopher://hole")
