"""What bookloom says when its user has made a mistake."""


class UserMistake(ValueError):
    """Something the user can mend: shown as a message and a remedy, never as a traceback.

    The message names the offending value and its place; the remedy says what to do.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


def installing(extra: str) -> str:
    """How to install what one of bookloom's extras needs, for a remedy."""
    return (
        "In bookloom's folder run .venv/bin/pip install -c requirements.lock "
        f"-c requirements-test.lock -e '.[{extra}]'"
    )
