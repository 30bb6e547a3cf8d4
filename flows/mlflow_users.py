"""Who may use MLflow's server, where it asks for a name and a password."""

import importlib.util
import os
from pathlib import Path

from data.errors import UserMistake

CONFIG_PATH, ADMIN_PASSWORD = "MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_AUTH_ADMIN_PASSWORD"
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
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
            "Install bookloom with the extra team: pip install '.[team]'.",
        )
    if not os.environ.get(SECRET_KEY):
        raise UserMistake(
            f"MLflow's authentication needs {SECRET_KEY}.",
            "Set it to any long random text, and keep it: with another one all must log in anew.",
        )
    if os.environ.get(CONFIG_PATH):
        return
    database = folder / "users.db"
    if not database.exists() and len(os.environ.get(ADMIN_PASSWORD, "")) < 12:
        raise UserMistake(
            f"MLflow has no users yet, and {ADMIN_PASSWORD} is not set or too short.",
            "Set it to a password of 12 characters or more: the first user, admin, gets it.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    users_file(folder).write_text(USERS.format(database=database), encoding="utf-8")
