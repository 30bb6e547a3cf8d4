"""Who may use MLflow's server, where it asks for a name and a password."""

import importlib.util
import os
from pathlib import Path

from data.errors import UserMistake, installing
from tasks.seams.tracking import has_login

CONFIG_PATH, ADMIN_PASSWORD = "MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_AUTH_ADMIN_PASSWORD"
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
TOKEN = "MLFLOW_TRACKING_TOKEN"  # where the file's authorization_function takes one
# MLflow hashes a password anew for each request, which takes long, unless it is told to remember.
USERS = """[mlflow]
database_uri = sqlite:///{database}
default_permission = READ
admin_username = admin
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def users_file(folder: Path) -> Path:
    """The file that says where MLflow's users are kept: the environment's, or one in the folder."""
    return Path(os.environ.get(CONFIG_PATH) or folder / "users.ini")


def prepare_users(folder: Path) -> None:
    """Write that file where nobody has, and see that MLflow has all that it will ask for.

    Raises:
        UserMistake: a package or a secret is missing.
    """
    if importlib.util.find_spec("flask_wtf") is None:
        raise UserMistake(
            "MLflow's authentication needs Flask-WTF, which is not installed.",
            f"{installing('team')}.",
        )
    if not os.environ.get(SECRET_KEY):
        raise UserMistake(
            f"MLflow's authentication needs {SECRET_KEY}.",
            "Set it to any long random text, and keep it: with another one all must log in anew.",
        )
    is_theirs = bool(os.environ.get(CONFIG_PATH))
    database = folder / "users.db"
    is_first = not is_theirs and not database.exists()
    if is_first and len(os.environ.get(ADMIN_PASSWORD, "")) < 12:
        raise UserMistake(
            f"MLflow has no users yet, and {ADMIN_PASSWORD} is not set or too short.",
            "Set it to a password of 12 characters or more: the first user, admin, gets it.",
        )
    _see_that_runs_may_log_in(is_first)
    if is_theirs:
        return
    folder.mkdir(parents=True, exist_ok=True)
    users_file(folder).write_text(USERS.format(database=database), encoding="utf-8")


def _see_that_runs_may_log_in(is_first: bool) -> None:
    """Runs and the caretaker ask MLflow in the name of who has started them.

    Raises:
        UserMistake: neither the environment nor MLflow's file of credentials has a name and a
            password.
    """
    if has_login() or os.environ.get(TOKEN):
        return
    first = f" At this first start, these are admin and {ADMIN_PASSWORD}'s." if is_first else ""
    raise UserMistake(
        "MLflow will ask runs for a name and a password, and they have none.",
        f"Set {USERNAME} and {PASSWORD} to those of a user.{first}",
    )
