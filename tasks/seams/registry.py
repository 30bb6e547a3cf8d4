"""MLflow's model registry: language models are registered, found by version or alias, and read.

MLflow is imported when a registry is asked, not before: the short commands need not wait for it.
"""

import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from data.errors import UserMistake
from data.model_schemas import LANGUAGE_MODEL_FILE
from tasks.seams.champions import MODEL_NAME, Champions
from tasks.seams.retrying import http_status, may_pass
from tasks.seams.tracking import GONE, NO_TRACKING, SQLITE, open_client, without_password

PROJECT_ROOT = Path(__file__).parents[2]
SERVED_WITH = ("torch", "numpy", "safetensors", "pyarrow", "nltk")
SERVED_CODE = ("models", "data", "tasks")
NOT_FOUND = 404


class NoModel(UserMistake):
    """There is no language model where one was looked for: so say MLflow, or what keeps its files.

    That no answer came, or another one, is not this.
    """


def log_model(
    tracking_uri: str | None,
    run_id: str | None,
    bundle: bytes,
    digest: str,
    example_bags: Sequence[Sequence[str]],
) -> str | None:
    """Register a language model, unless one of this digest is there.

    Returns:
        Its URI, or None where nothing is tracked.
    """
    if tracking_uri is None or tracking_uri == NO_TRACKING:
        return None
    for version in Champions(tracking_uri).standing().versions.values():
        if version.digest == digest:
            return version.uri
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(tracking_uri)
    example = pd.DataFrame({"bags": [[list(bag) for bag in example_bags]]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LANGUAGE_MODEL_FILE
        path.write_bytes(bundle)
        with mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name="language_model",
                python_model=str(Path(__file__).parent / "served_model.py"),
                artifacts={"bundle": str(path)},
                code_paths=[str(PROJECT_ROOT / name) for name in SERVED_CODE],
                signature=_signature(),
                input_example=example,
                pip_requirements=[f"{name}=={version_of(name)}" for name in SERVED_WITH],
                registered_model_name=MODEL_NAME,
            )
    number = str(info.registered_model_version)
    open_client(tracking_uri).set_model_version_tag(MODEL_NAME, number, "digest", digest)
    return f"models:/{MODEL_NAME}/{number}"


def read_bundle(tracking_uri: str, model_uri: str | None) -> tuple[str, bytes]:
    """(URI, bytes) of a registered language model; by default the champion.

    Where there is no champion it is the newest model. Its URI names its version: who is champion
    may change.

    An absolute path is that of a model's folder, as MLflow writes it; no store is asked.

    Raises:
        NoModel: there is no such model.
        UserMistake: it cannot be had, and why; where that may pass, `may_pass` says so.
    """
    if model_uri and os.path.isabs(model_uri):
        path = Path(model_uri, "artifacts", LANGUAGE_MODEL_FILE)
        if not path.is_file():
            raise NoModel(f"There is no bookloom model at {path}.", "Correct --model.")
        return model_uri, path.read_bytes()
    uri = model_uri
    try:
        uri = uri or champion_model(tracking_uri)
        with tempfile.TemporaryDirectory() as folder:
            return uri, _fetched(tracking_uri, uri, Path(folder)).read_bytes()
    except UserMistake:
        raise
    except Exception as error:  # clients of artifact stores have kinds of errors of their own
        raise _told(error, uri or f"models:/{MODEL_NAME}", tracking_uri) from error


def newest_model(tracking_uri: str) -> str:
    """URI of the newest registered language model, whoever is champion.

    Raises:
        UserMistake: there is none.
    """
    newest = Champions(tracking_uri).standing().newest
    if newest is None:
        raise _no_model(tracking_uri)
    return newest.uri


def champion_model(tracking_uri: str) -> str:
    """URI of the champion, or of the newest model where there is none.

    Raises:
        UserMistake: there is no model at all.
    """
    standing = Champions(tracking_uri).standing()
    chosen = standing.champion or standing.newest
    if chosen is None:
        raise _no_model(tracking_uri)
    return chosen.uri


def models_in_use(tracking_uri: str) -> dict[str, str]:
    """The registered models that somebody may be using, or may come back to.

    Those are the models under an alias, the one that a rollback returns to, and the newest one.

    Returns:
        Their digests, each with what the model is.

    Raises:
        UserMistake: the registry does not answer.
    """
    if tracking_uri == NO_TRACKING:
        return {}
    if tracking_uri.startswith(SQLITE) and not Path(tracking_uri.removeprefix(SQLITE)).exists():
        return {}  # asking would make it
    from mlflow.exceptions import MlflowException

    try:
        standing = Champions(tracking_uri).standing()
    except (MlflowException, OSError) as error:
        raise UserMistake(
            f"The registry {without_password(tracking_uri)} does not say which models are in use: "
            f"{_first_line(error)}",
            "Correct MLFLOW_TRACKING_URI, or start its server.",
        ) from error
    uses = {one.number: one.uri for one in [standing.newest] if one}
    if standing.before:
        uses[standing.before.number] = f"{standing.before.uri}, to which a rollback returns"
    uses |= {n: f"models:/{MODEL_NAME}@{alias}" for alias, n in standing.aliases.items()}
    digests = {number: version.digest for number, version in standing.versions.items()}
    return {digest: use for number, use in uses.items() if (digest := digests.get(number))}


def _no_model(tracking_uri: str) -> UserMistake:
    return UserMistake(
        f"There is no model in {without_password(tracking_uri)} yet.",
        "Make one first: bookloom run.",
    )


def _fetched(tracking_uri: str, uri: str, folder: Path) -> Path:
    """A model's file, in a folder.

    It is fetched as the one file that it is: MLflow's `download_artifacts` makes of whatever has
    failed an internal error that does not say what it comes from, be that a missing file, a server
    that is away or a full disk.
    """
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    mlflow.set_tracking_uri(tracking_uri)
    repository = get_artifact_repository(uri.rstrip("/"), tracking_uri=tracking_uri)
    name = f"artifacts/{LANGUAGE_MODEL_FILE}"
    if uri.startswith("runs:"):  # looks for the run's model by its name
        return Path(repository.download_artifacts(name, str(folder)))
    repository._download_file(name, str(folder / LANGUAGE_MODEL_FILE))
    return folder / LANGUAGE_MODEL_FILE


def _told(error: Exception, uri: str, tracking_uri: str) -> UserMistake:
    """Why a model cannot be had, in a user's words."""
    where, cause = f"{uri} in {without_password(tracking_uri)}", _first_line(error)
    code = getattr(error, "error_code", None)  # MLflow's
    if code in GONE or (code is None and http_status(error) == NOT_FOUND):
        return NoModel(
            f"There is no bookloom model at {where}: {cause}",
            "Name a model with --model, such as models:/bookloom/1, or leave it out.",
        )
    if may_pass(error):
        remedy = "See that the servers of the registry and of its artifacts are up, then try again."
    else:
        remedy = "Mend that, or name another model with --model, such as models:/bookloom/1."
    return UserMistake(f"The model {where} can't be read: {cause}", remedy)


def _signature() -> Any:
    """What the served model takes and gives."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    return ModelSignature(
        inputs=Schema([ColSpec(Array(Array(DataType.string)), "bags")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "bag_set_id"),
                ColSpec(DataType.long, "rank"),
                ColSpec(Array(DataType.string), "tokens"),
                ColSpec(DataType.string, "sentence"),
                ColSpec(DataType.double, "log_probability_nats"),
                ColSpec(DataType.double, "score"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("beam_width", DataType.long, 64),
                ParamSpec("frequency_discount", DataType.double, None),
                ParamSpec("num_sentences", DataType.long, 1),
            ]
        ),
    )


def _first_line(error: BaseException) -> str:
    return without_password((str(error) or type(error).__name__).splitlines()[0])
