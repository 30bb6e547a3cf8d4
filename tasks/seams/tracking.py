"""MLflow's runs: one for each pipeline run, child runs for its parts, the tables that it read.

`open_tracker(None)` gives a twin that does nothing, for tests and for runs without tracking. MLflow
is imported when a store is opened, not before: the short commands need not wait for it.
"""

import json
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

EXPERIMENT = "bookloom"
PART = "part"  # a child's tag: what of its parent's work it stands for
NOTE = "mlflow.note.content"  # the description that MLflow shows above a run
METRICS_AT_ONCE = 1000  # MLflow's limit for one batch
MOST_DIGEST_CHARACTERS = 36  # MLflow's column; the full digest stands in the run's tags
SQLITE = "sqlite:///"
FORBIDDEN, DELETED = "PERMISSION_DENIED", "deleted"
GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such run, or a deleted one
# Up to the last @ of a host. SQLAlchemy takes a slash in a password as it stands.
LOGIN = re.compile(r"://(?:[^\s/]*@|[^\s:/@]+:[^\s@]*@)")
PASSWORD_IN_QUERY = re.compile(r"(?i)([?&](?:password|passwd|pwd|odbc_connect)=)[^&\s'\"]*")
UI_ADDRESS = "http://127.0.0.1:5000"  # of `mlflow ui` where its user names no other
UI_URL = "BOOKLOOM_MLFLOW_UI_URL"
"""The variable that says where people find MLflow's pages, where runs reach it by another name."""
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
        """Close the run, and with it those of its children that are open: FINISHED, FAILED or
        KILLED.
        """
        ...


class Page(NamedTuple):
    """Where MLflow's user interface shows a run."""

    address: str
    command: str | None
    """What serves that address first; none where a server does anyway."""


class Tracker(Protocol):
    """A tracking store."""

    def start_run(self, name: str) -> TrackedRun:
        """A new run of the pipeline."""
        ...

    def child(self, parent_run_id: str | None, part: str) -> TrackedRun:
        """The run that stands for a part of another: a new one, unless a killed run has made it.
        It is called after both, so that two runs' parts can be told apart side by side.
        """
        ...

    def run(self, run_id: str | None) -> TrackedRun:
        """A run that is open."""
        ...

    def reopen(self, run_id: str | None) -> TrackedRun | None:
        """A run that was killed, open again; none if the store knows it no longer."""
        ...

    def close(self, run_id: str | None, status: str) -> bool:
        """End a run that is still said to be running; whether it was.

        Raises:
            PermissionError: it is for others to end.
        """
        ...

    def page(self, run_id: str | None) -> Page | None:
        """Where people see a run, if anywhere."""
        ...


def open_tracker(tracking_uri: str | None) -> Tracker:
    """The tracker of an MLflow store, or the twin that does nothing."""
    if tracking_uri is None or tracking_uri == NO_TRACKING:
        return _NoTracker()
    return _MlflowTracker(tracking_uri)


def without_password(text: str) -> str:
    """An address, or what an error says of one, as it may be shown: without who logs in and how."""
    return PASSWORD_IN_QUERY.sub(r"\1…", LOGIN.sub("://", text))


def open_client(tracking_uri: str) -> Any:
    """MLflow's client of a store; the folder of a database that is a file is made."""
    import mlflow

    if tracking_uri.startswith(SQLITE):
        Path(tracking_uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(tracking_uri)


def is_trackers(error: BaseException) -> bool:
    """Whether it is MLflow that says no."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException)


def has_login() -> bool:
    """Whether MLflow's clients have a name and a password: from the environment, or its file."""
    from mlflow.utils.credentials import read_mlflow_creds

    return all(read_mlflow_creds())


@contextmanager
def ended_with(run: TrackedRun) -> Iterator[TrackedRun]:
    """The run, which ends as the block does: FINISHED, FAILED or KILLED."""
    try:
        yield run
    except BaseException as error:
        try:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        except Exception as unsaid:  # the first error is the one to tell
            error.add_note(f"MLflow was not told that run {run.run_id} has ended: {unsaid}")
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
        run = self._client.get_run(self.run_id)
        children = f"tags.`mlflow.parentRunId` = '{self.run_id}' and attributes.status = 'RUNNING'"
        for child in self._client.search_runs([run.info.experiment_id], children):
            self._client.set_terminated(child.info.run_id, status)
        self._client.set_terminated(self.run_id, status)


class _MlflowTracker:
    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._client = open_client(tracking_uri)

    def start_run(self, name: str) -> TrackedRun:
        run = self._client.create_run(self._experiment(), run_name=name)
        return _MlflowRun(self._client, run.info.run_id)

    def child(self, parent_run_id: str | None, part: str) -> TrackedRun:
        parent = self._client.get_run(parent_run_id)
        experiment = parent.info.experiment_id
        own = f"tags.`mlflow.parentRunId` = '{parent_run_id}' and tags.{PART} = '{part}'"
        for run in self._client.search_runs([experiment], own):
            if run.info.status != "RUNNING":
                self._client.update_run(run.info.run_id, status="RUNNING")
            return _MlflowRun(self._client, run.info.run_id)
        name = f"{part} ({parent.info.run_name})"
        tags = {"mlflow.parentRunId": parent_run_id, PART: part}
        run = self._client.create_run(experiment, run_name=name, tags=tags)
        return _MlflowRun(self._client, run.info.run_id)

    def run(self, run_id: str | None) -> TrackedRun:
        assert run_id is not None
        return _MlflowRun(self._client, run_id)

    def reopen(self, run_id: str | None) -> TrackedRun | None:
        from mlflow.exceptions import MlflowException

        assert run_id is not None
        try:
            self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code not in GONE:
                raise
            return None
        return _MlflowRun(self._client, run_id)

    def close(self, run_id: str | None, status: str) -> bool:
        from mlflow.exceptions import MlflowException

        if run_id is None:  # it was not tracked
            return False
        try:
            run = self._client.get_run(run_id).info
            if run.status != "RUNNING" or run.lifecycle_stage == DELETED:
                return False
            _MlflowRun(self._client, run_id).end(status)
        except MlflowException as error:
            if error.error_code == FORBIDDEN:
                reason = without_password(str(error))
                raise PermissionError(f"MLflow run {run_id} can't be ended: {reason}") from error
            if error.error_code not in GONE:
                raise
            return False
        return True

    def page(self, run_id: str | None) -> Page | None:
        experiment = self._client.get_run(run_id).info.experiment_id
        path = f"#/experiments/{experiment}/runs/{run_id}"
        server = os.environ.get(UI_URL) or self._uri
        if server.startswith(("http://", "https://")):
            return Page(f"{without_password(server).rstrip('/')}/{path}", None)
        store = f"--backend-store-uri '{without_password(self._uri)}'"
        return Page(f"{UI_ADDRESS}/{path}", f".venv/bin/mlflow ui --host 127.0.0.1 {store}")

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = None
            if self._uri.startswith(SQLITE):
                # Beside its database, wherever the command was typed.
                database = Path(self._uri.removeprefix(SQLITE))
                location = (database.parent / "artifacts").resolve().as_uri()
            with suppress(MlflowException):  # another run may have made it meanwhile
                kind = {"mlflow.experimentKind": "custom_model_development"}  # which pages it has
                return str(self._client.create_experiment(name, location, kind))
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

    def child(self, parent_run_id: str | None, part: str) -> TrackedRun:
        return _NoRun()

    def run(self, run_id: str | None) -> TrackedRun:
        return _NoRun()

    def reopen(self, run_id: str | None) -> TrackedRun | None:
        return _NoRun()

    def close(self, run_id: str | None, status: str) -> bool:
        return False

    def page(self, run_id: str | None) -> Page | None:
        return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat
