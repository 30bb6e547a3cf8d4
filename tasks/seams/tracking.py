"""MLflow's home: a run for each pipeline run, child runs for its parts, models, input tables.

`open_tracker(None)` gives a twin that does nothing, for tests and for runs without tracking. MLflow
is imported when a store is opened, not before: the short commands need not wait for it.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from data.errors import UserMistake
from data.schemas import LANGUAGE_MODEL_FILE

MODEL_NAME = "bookloom"
PROJECT_ROOT = Path(__file__).parents[2]
METRICS_AT_ONCE = 1000  # MLflow's limit for one batch
MOST_DIGEST_CHARACTERS = 36  # MLflow's column; the full digest stands in the run's tags
SERVED_WITH = ("torch", "numpy", "safetensors", "pyarrow", "nltk")
SERVED_CODE = ("models", "data", "tasks")
SQLITE = "sqlite:///"
NO_TRACKING = "none"
"""As a tracking URI: nothing is tracked, nothing is registered."""


class TrackedRun(Protocol):
    """An MLflow run to log to."""

    run_id: str | None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Figures at a step; what is not a finite number is left out."""
        ...

    def log_new_rows(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Figures of many steps at once; what the run has already is not logged twice."""
        ...

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Settings, nested ones by dotted names."""
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Facts about the run."""
        ...

    def log_file(self, file_name: str, content: bytes) -> None:
        """A picture, page or table."""
        ...

    def log_input(self, name: str, digest: str, path: str) -> None:
        """A table that the run read, as an MLflow dataset."""
        ...

    def end(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        ...


class Tracker(Protocol):
    """A tracking store."""

    def start_run(self, name: str) -> TrackedRun:
        """A new run of the pipeline."""
        ...

    def child(self, parent_run_id: str | None, name: str) -> TrackedRun:
        """The run of this name under another: a new one, unless a killed run has made it."""
        ...

    def run(self, run_id: str | None) -> TrackedRun:
        """A run that is open."""
        ...

    def reopen(self, run_id: str | None) -> TrackedRun | None:
        """A run that was killed, open again; none if the store knows it no longer."""
        ...

    def log_model(
        self,
        run_id: str | None,
        bundle: bytes,
        digest: str,
        example_bags: Sequence[Sequence[str]],
    ) -> str | None:
        """Register a language model, unless one of this digest is there; gives its URI."""
        ...


def open_tracker(tracking_uri: str | None) -> Tracker:
    """The tracker of an MLflow store, or the twin that does nothing."""
    if tracking_uri is None or tracking_uri == NO_TRACKING:
        return _NoTracker()
    return _MlflowTracker(tracking_uri)


@contextmanager
def ended_with(run: TrackedRun) -> Iterator[TrackedRun]:
    """The run, which ends as the block does: FINISHED, FAILED or KILLED."""
    try:
        yield run
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    run.end()


def training_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of `training_log` as MLflow metrics."""
    loss = row["loss_nats_per_token"]
    prefix = row["split"]
    metrics = {f"{prefix}_loss_nats_per_token": loss, f"{prefix}_perplexity": math.exp(loss)}
    metrics[f"{prefix}_bits_per_character"] = row["bits_per_character"]
    if prefix == "train":
        for name in ("learning_rate", "gradient_norm", "tokens_per_second", "share_of_peak"):
            metrics[name] = row[name]
    return metrics


def read_bundle(tracking_uri: str, model_uri: str | None) -> tuple[str, bytes]:
    """(URI, bytes) of a registered language model; the newest one of the store by default.

    An absolute path is that of a model's folder, as MLflow writes it; no store is asked.

    Raises:
        UserMistake: there is no such model.
    """
    if model_uri and os.path.isabs(model_uri):
        path = Path(model_uri, "artifacts", LANGUAGE_MODEL_FILE)
        if not path.is_file():
            raise UserMistake(f"There is no bookloom model at {path}.", "Correct --model.")
        return model_uri, path.read_bytes()
    import mlflow

    tracker = _MlflowTracker(tracking_uri)
    uri = model_uri or tracker.newest_model()
    try:
        with tempfile.TemporaryDirectory() as folder:
            mlflow.set_tracking_uri(tracking_uri)
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri.rstrip('/')}/artifacts/{LANGUAGE_MODEL_FILE}",
                dst_path=folder,
                tracking_uri=tracking_uri,
            )
            return uri, Path(path).read_bytes()
    except (mlflow.exceptions.MlflowException, OSError, ValueError) as error:
        raise UserMistake(
            f"There is no bookloom model at {uri} in {tracking_uri}: {_first_line(error)}",
            "Name a model with --model, such as models:/bookloom/1, or leave it out.",
        ) from error


def models_in_use(tracking_uri: str) -> dict[str, str]:
    """The registered models that somebody may be using: those under an alias, and the newest one.

    Returns:
        Their digests, each with the URI that uses it.

    Raises:
        UserMistake: the registry does not answer.
    """
    if tracking_uri == NO_TRACKING:
        return {}
    if tracking_uri.startswith(SQLITE) and not Path(tracking_uri.removeprefix(SQLITE)).exists():
        return {}  # asking would make it
    from mlflow.exceptions import MlflowException

    tracker = _MlflowTracker(tracking_uri)
    try:
        return tracker.models_in_use()
    except (MlflowException, OSError) as error:
        raise UserMistake(
            f"The registry {tracking_uri} does not say which models are in use: "
            f"{_first_line(error)}",
            "Correct MLFLOW_TRACKING_URI, or start its server.",
        ) from error


class _MlflowRun:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id: str | None = run_id
        self._steps_of: dict[str, set[int]] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        self._log([(step, metrics)])

    def log_new_rows(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        names = {name for _, values in rows for name in values}
        for name in names - self._steps_of.keys():
            history = self._client.get_metric_history(self.run_id, name)
            self._steps_of[name] = {metric.step for metric in history}
        new = [
            (step, {k: v for k, v in values.items() if step not in self._steps_of[k]})
            for step, values in rows
        ]
        self._log(new)
        for step, values in new:
            for name in values:
                self._steps_of[name].add(step)

    def _log(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, step)
            for step, values in rows
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        ]
        for first in range(0, len(metrics), METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics[first : first + METRICS_AT_ONCE])

    def log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        flat = [Param(name, str(value)) for name, value in _flat(params).items()]
        self._client.log_batch(self.run_id, params=flat)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def log_file(self, file_name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file_name
            path.write_bytes(content)
            self._client.log_artifact(self.run_id, str(path))

    def log_input(self, name: str, digest: str, path: str) -> None:
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag

        source = CodeDatasetSource(tags={"path": path, "digest": digest})
        dataset = MetaDataset(source, name=name, digest=digest[:MOST_DIGEST_CHARACTERS])
        tags = [InputTag("mlflow.data.context", "input")]
        self._client.log_inputs(
            self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)], None
        )

    def end(self, status: str = "FINISHED") -> None:
        self._client.set_terminated(self.run_id, status)


class _MlflowTracker:
    def __init__(self, tracking_uri: str) -> None:
        import mlflow

        if tracking_uri.startswith(SQLITE):
            Path(tracking_uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        self._uri = tracking_uri
        self._client = mlflow.MlflowClient(tracking_uri)

    def start_run(self, name: str) -> TrackedRun:
        run = self._client.create_run(self._experiment(), run_name=name)
        return _MlflowRun(self._client, run.info.run_id)

    def child(self, parent_run_id: str | None, name: str) -> TrackedRun:
        tags = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
        if parent_run_id:
            siblings = f"tags.`mlflow.parentRunId` = '{parent_run_id}'"
            named = f"{siblings} and attributes.run_name = '{name}'"
            for run in self._client.search_runs([self._experiment()], named):
                return _MlflowRun(self._client, run.info.run_id)
        run = self._client.create_run(self._experiment(), run_name=name, tags=tags)
        return _MlflowRun(self._client, run.info.run_id)

    def run(self, run_id: str | None) -> TrackedRun:
        assert run_id is not None
        return _MlflowRun(self._client, run_id)

    def reopen(self, run_id: str | None) -> TrackedRun | None:
        from mlflow.exceptions import MlflowException

        assert run_id is not None
        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return None
        return _MlflowRun(self._client, run_id)

    def log_model(
        self,
        run_id: str | None,
        bundle: bytes,
        digest: str,
        example_bags: Sequence[Sequence[str]],
    ) -> str | None:
        import mlflow
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
        from mlflow.types.schema import Array, DataType

        for version in self._versions():
            if version.tags.get("digest") == digest:
                return f"models:/{MODEL_NAME}/{version.version}"
        signature = ModelSignature(
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
        from importlib.metadata import version as version_of

        mlflow.set_tracking_uri(self._uri)
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
                    signature=signature,
                    input_example=example,
                    pip_requirements=[f"{name}=={version_of(name)}" for name in SERVED_WITH],
                    registered_model_name=MODEL_NAME,
                )
        number = str(info.registered_model_version)
        self._client.set_model_version_tag(MODEL_NAME, number, "digest", digest)
        return f"models:/{MODEL_NAME}/{number}"

    def newest_model(self) -> str:
        """URI of the newest registered language model."""
        versions = self._versions()
        if not versions:
            raise UserMistake(
                f"There is no model in {self._uri} yet.", "Make one first: bookloom run."
            )
        return f"models:/{MODEL_NAME}/{max(int(version.version) for version in versions)}"

    def models_in_use(self) -> dict[str, str]:
        """See the function of this name."""
        versions = {int(version.version): version for version in self._versions()}
        if not versions:
            return {}
        # The search leaves aliases out.
        aliases = self._client.get_registered_model(MODEL_NAME).aliases
        uris = {max(versions): f"models:/{MODEL_NAME}/{max(versions)}"}
        uris |= {int(number): f"models:/{MODEL_NAME}@{alias}" for alias, number in aliases.items()}
        tags = {number: versions[number].tags for number in uris if number in versions}
        return {tag["digest"]: uris[number] for number, tag in tags.items() if "digest" in tag}

    def _versions(self) -> list[Any]:
        return list(self._client.search_model_versions(f"name='{MODEL_NAME}'"))

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", MODEL_NAME)
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = None
            if self._uri.startswith(SQLITE):
                # Beside its database, wherever the command was typed.
                database = Path(self._uri.removeprefix(SQLITE))
                location = (database.parent / "artifacts").resolve().as_uri()
            with suppress(MlflowException):  # another run may have made it meanwhile
                return str(self._client.create_experiment(name, artifact_location=location))
            experiment = self._client.get_experiment_by_name(name)
        assert experiment is not None
        return str(experiment.experiment_id)


class _NoRun:
    run_id: str | None = None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def log_new_rows(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None: ...

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_file(self, file_name: str, content: bytes) -> None: ...

    def log_input(self, name: str, digest: str, path: str) -> None: ...

    def end(self, status: str = "FINISHED") -> None: ...


class _NoTracker:
    def start_run(self, name: str) -> TrackedRun:
        return _NoRun()

    def child(self, parent_run_id: str | None, name: str) -> TrackedRun:
        return _NoRun()

    def run(self, run_id: str | None) -> TrackedRun:
        return _NoRun()

    def reopen(self, run_id: str | None) -> TrackedRun | None:
        return _NoRun()

    def log_model(
        self,
        run_id: str | None,
        bundle: bytes,
        digest: str,
        example_bags: Sequence[Sequence[str]],
    ) -> str | None:
        return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
