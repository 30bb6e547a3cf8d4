"""MLflow's own scoring server for a registered model."""

import os
import subprocess
import sys

from data.errors import UserMistake
from flows.ports import HOST


def serve_registered(uri: str, tracking_uri: str, port: int) -> None:
    """Serve a registered model until it is stopped.

    Raises:
        UserMistake: the server ended by itself.
    """
    print(f"{uri} served at http://{HOST}:{port}/invocations (Ctrl-C stops it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri]
    command += ["--host", HOST, "--port", str(port), "--env-manager", "local"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri}
    with subprocess.Popen(command, env=environment) as server:
        try:
            code = server.wait()
        except BaseException:
            server.terminate()
            raise
    if code:
        raise UserMistake(
            f"MLflow's scoring server ended with exit code {code}.", "See its output above."
        )
