"""Registries of models without content, and a process that changes who is champion of one."""

import logging
import os
import random
import shutil
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from tasks.seams.champions import MODEL_NAME, Champions, Version
from tasks.seams.promotion import Verdict, settled
from tasks.seams.tracking import open_client
from tests.conftest import HOME


def registry(folder: Path, *strengths: int) -> str:
    """The URI of a registry with a model of each strength: version 1 has the first one."""
    uri = f"sqlite:///{shutil.copy(_empty(), folder / 'registry.db')}"
    client = open_client(uri)
    client.create_registered_model(MODEL_NAME)
    for strength in strengths:
        add_version(client, strength)
    return uri


def add_version(client: Any, strength: int) -> int:
    tags = {"strength": str(strength), "digest": f"digest of {strength}"}
    version = client.create_model_version(MODEL_NAME, "/nowhere", tags=tags)
    return int(version.version)


def promote(uri: str, number: int, *, force: bool = False) -> dict[str, Any]:
    """Promote a version if it is stronger than the champion."""
    champions = Champions(uri)
    own = champions.standing().versions[number]

    def judge(champion: Version) -> Verdict:
        time.sleep(random.uniform(0, 0.1))  # others may come in between
        is_stronger = int(own.tags["strength"]) > int(champion.tags["strength"])
        return Verdict(verdict="promoted" if is_stronger else "refused", reason="By strength.")

    return settled(champions, own.uri, judge, force=force)


@cache
def _empty() -> Path:
    """MLflow takes seconds to set up a database."""
    path = HOME / "empty_registry.db"
    open_client(f"sqlite:///{path}").search_registered_models()
    return path


def promote_all(uri: str, folder: str, num_models: str, num_processes: str) -> None:
    """Many processes at once promote all versions, a share each, alone in between."""
    children = []
    for first in range(int(num_processes)):
        child = os.fork()
        if not child:
            is_done = False
            try:
                _promote_some(
                    uri, Path(folder), range(first + 1, int(num_models) + 1, int(num_processes))
                )
                is_done = True
            finally:
                os._exit(not is_done)
        children.append(child)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children))


def _promote_some(uri: str, folder: Path, numbers: range) -> None:
    for number in numbers:
        with Champions(uri).alone():
            with (folder / "inside").open("x"):  # fails if another is
                time.sleep(random.uniform(0, 0.02))
            (folder / "inside").unlink()
        promote(uri, number)


def hold(uri: str) -> None:
    """Be alone until killed."""
    with Champions(uri).alone():
        print("inside", flush=True)
        time.sleep(600)


def main() -> None:
    """Do as the command line says."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    {"promote": promote_all, "hold": hold}[sys.argv[1]](*sys.argv[2:])
