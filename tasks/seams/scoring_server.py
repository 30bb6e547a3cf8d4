"""MLflow's own scoring server around a registered model."""

import sys
from typing import Any

from data.errors import UserMistake
from tasks.seams.tracking import without_password

MOST_BYTES = 32 << 20  # of a request; 200,000 words are a tenth of it


def scoring_app(tracking_uri: str, model_uri: str) -> Any:
    """The ASGI application: /invocations, /health, /version. Errors are JSON with a message.

    Raises:
        UserMistake: there is no such model, or it cannot be loaded.
    """
    import mlflow
    from mlflow.pyfunc import scoring_server

    mlflow.set_tracking_uri(tracking_uri)
    try:
        model = mlflow.pyfunc.load_model(model_uri)
    except (mlflow.exceptions.MlflowException, OSError, ImportError) as error:
        raise UserMistake(
            without_password(f"Model {model_uri} of {tracking_uri} cannot be loaded: {error}"),
            "Name a model that this version of bookloom has made, or train one anew.",
        ) from error
    return _guarded(scoring_server.init(model))


def _guarded(app: Any) -> Any:
    """The application, which answers requests that are too large or nested too deep, too."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    def refused(status: int, message: str) -> Response:
        content = {"error_code": "BAD_REQUEST", "message": message}
        return JSONResponse(content, status_code=status)

    @app.middleware("http")  # type: ignore[untyped-decorator]
    async def guard(request: Request, call_next: Any) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdigit() and request.method == "POST":
            return refused(411, "The request does not say how long it is: send Content-Length.")
        if length.isdigit() and int(length) > MOST_BYTES:
            return refused(413, f"The request has {length} bytes; {MOST_BYTES:,} is the most.")
        try:
            answer: Response = await call_next(request)
        except RecursionError:
            return refused(400, f"The request is nested more than {sys.getrecursionlimit()} deep.")
        return answer

    return app
