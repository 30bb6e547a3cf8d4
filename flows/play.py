"""A page on which one fills bags and sees sentences: `bookloom play`."""

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from data.bag_sets import parse_json
from data.errors import UserMistake
from tasks.play import Game

PAGE = Path(__file__).parent / "play.html"
HOSTS = ("127.0.0.1", "localhost")
MOST_BYTES = 1 << 20
# The page is one file: nothing is fetched from elsewhere, and no other page may frame it.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'"
)


def play_app(game: Game) -> Starlette:
    """The page, the model's facts, and sentences for bags."""

    async def page(_: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=headers)

    async def model(_: Request) -> Response:
        return JSONResponse(game.facts)

    async def pick(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(game.pick, await _body(request)))
        except UserMistake as mistake:
            error = {"message": mistake.message, "remedy": mistake.remedy}
            return JSONResponse({"error": error}, status_code=400)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/model", model),
            Route("/pick", pick, methods=["POST"]),
        ],
        # A page elsewhere whose name is made to mean this machine gets nothing.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))],
    )


async def _body(request: Request) -> Any:
    # A page elsewhere can't send this type without being asked for leave.
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UserMistake("The request is not JSON.", "Send application/json.")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise UserMistake(
                "The request is too large.", f"Send at most {MOST_BYTES:,} bytes of bags."
            )
    return parse_json(bytes(content), "the request")
