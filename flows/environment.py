"""Where a run's things go, unless the user's own Prefect and MLflow settings say otherwise.

`prepare` must run before Prefect is imported: Prefect reads its settings once.
"""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[1]
PREFECT_CHOICES = ("PREFECT_HOME", "PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")


def home() -> Path:
    """Bookloom's home: `BOOKLOOM_HOME`, or `artefacts` in the checkout."""
    return Path(os.environ.get("BOOKLOOM_HOME") or PROJECT_ROOT / "artefacts").resolve()


def home_store() -> str:
    """The default store."""
    return str(home() / "store")


def tracking_uri() -> str:
    """MLflow's store: `MLFLOW_TRACKING_URI`, or SQLite under bookloom's home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}"


def prefect_is_users_own() -> bool:
    """Whether the user has chosen a Prefect profile, home or server."""
    profiles = Path.home() / ".prefect" / "profiles.toml"
    return profiles.exists() or any(os.environ.get(name) for name in PREFECT_CHOICES)


def prepare() -> None:
    """Set this process's environment; whatever the user has set stays."""
    if not prefect_is_users_own():
        os.environ["PREFECT_HOME"] = str(home() / "prefect")
        (home() / "prefect").mkdir(parents=True, exist_ok=True)
    quiet = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # A first start sets up its database, which takes longer than Prefect's 20 s on a busy
        # machine (15 s on an idle one).
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)


def ui_commands() -> dict[str, str]:
    """The commands that open the two user interfaces on what runs have left."""
    prefect_home = os.environ.get("PREFECT_HOME", "")
    prefix = f"PREFECT_HOME={prefect_home} " if prefect_home else ""
    return {
        "Prefect": f"{prefix}PREFECT_SERVER_ANALYTICS_ENABLED=false .venv/bin/prefect server start",
        "MLflow": f".venv/bin/mlflow ui --host 127.0.0.1 --backend-store-uri {tracking_uri()}",
    }
