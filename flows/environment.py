"""Where a run's things go, unless the user's own Prefect and MLflow settings say otherwise.

`prepare` must run before Prefect is imported: Prefect reads its settings once.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from flows.serving_note import serving
from tasks.seams.tracking import without_password

PROJECT_ROOT = Path(__file__).parents[1]
PATIENCE = {
    # A server that is away is asked again for two minutes (after 2, 4, 8, 16, 32, 64 s by Prefect's
    # client, after 0, 4, 8, 16, 32, 64 s by MLflow's): long enough to be started anew, short enough
    # to hear of it. Prefect's own choice, 5, gives up after one.
    "PREFECT_CLIENT_MAX_RETRIES": "6",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "6",
    # Seconds between a run's signs of life: see `silent_runs`. Prefect's own choice is 180.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # For the store and MLflow's artifacts: where one request in ten fails, one in a hundred million
    # is given up, and a store that is away is waited for half a minute, by each try of a step.
    # `standard` tries again after slow-downs, too, which `legacy`, the default, does not.
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "8",
}
"""How long runs and servers wait for each other; a setting of the user's own holds."""
LONGEST_RUN_SECONDS = 24 * 3600
"""Then a run is ended, so that one that hangs is not in the way of the next for ever; it is many
times what the largest take, and one that was cut off goes on from its last checkpoint."""
WATCHED = "watched"
"""As a source of books: the watched folder. (A folder of that name is `./watched`.)"""
PREFECT_CHOICES = ("PREFECT_HOME", "PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")


def home() -> Path:
    """Bookloom's home: `BOOKLOOM_HOME`, or `artefacts` in the checkout."""
    return Path(os.environ.get("BOOKLOOM_HOME") or PROJECT_ROOT / "artefacts").resolve()


def home_store() -> str:
    """The default store: `BOOKLOOM_STORE`, a path or a URL, or `store` under bookloom's home."""
    return os.environ.get("BOOKLOOM_STORE") or str(home() / "store")


def shelf() -> Path:
    """The watched folder of books: `BOOKLOOM_SHELF`, or `shelf` under bookloom's home."""
    return Path(os.environ.get("BOOKLOOM_SHELF") or home() / "shelf").resolve()


def with_shelf(sources: Sequence[str]) -> tuple[str, ...]:
    """Sources, with the watched folder's path where they name it `watched`."""
    return tuple(str(shelf()) if source == WATCHED else source for source in sources)


def checkout() -> dict[str, str]:
    """Where the code is, as a deployment's pull step: wherever bookloom is installed, on this
    machine or in an image.
    """
    return {"directory": str(PROJECT_ROOT)}


def tracking_uri() -> str:
    """MLflow's store: `MLFLOW_TRACKING_URI`, or SQLite under bookloom's home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}"


def prefect_is_users_own() -> bool:
    """Whether the user has chosen a Prefect profile, home or server."""
    profiles = Path.home() / ".prefect" / "profiles.toml"
    return profiles.exists() or any(os.environ.get(name) for name in PREFECT_CHOICES)


def prepare() -> None:
    """Set this process's environment; whatever the user has set stays.

    Where `bookloom serve` serves this home, its servers are the ones to use.
    """
    is_own = prefect_is_users_own()
    chosen = [name for name in PREFECT_CHOICES if os.environ.get(name)]
    if not is_own:
        os.environ["PREFECT_HOME"] = str(home() / "prefect")
        (home() / "prefect").mkdir(parents=True, exist_ok=True)
    served = serving(home())
    if served and served.is_up:
        os.environ.setdefault("MLFLOW_TRACKING_URI", served.mlflow_url)
        if not is_own or chosen == ["PREFECT_HOME"]:
            os.environ["PREFECT_API_URL"] = served.prefect_api_url
    quiet = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # A first start sets up its database, which takes longer than Prefect's 20 s on a busy
        # machine (15 s on an idle one).
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    for name, value in {**quiet, **PATIENCE}.items():
        os.environ.setdefault(name, value)


def ui_commands() -> dict[str, str]:
    """The two user interfaces on what runs have left: where they are, or what opens them."""
    served = serving(home())
    if served and os.environ.get("PREFECT_API_URL") == served.prefect_api_url:
        return {"Prefect": served.prefect_url, "MLflow": served.mlflow_url}
    prefect_home = os.environ.get("PREFECT_HOME", "")
    prefix = f"PREFECT_HOME={prefect_home} " if prefect_home else ""
    store = without_password(tracking_uri())
    return {
        "Prefect": f"{prefix}PREFECT_SERVER_ANALYTICS_ENABLED=false .venv/bin/prefect server start",
        "MLflow": f".venv/bin/mlflow ui --host 127.0.0.1 --backend-store-uri {store}",
    }
