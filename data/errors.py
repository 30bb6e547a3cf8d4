"""What bookloom says when its user has made a mistake."""

import reprlib


class UserMistake(ValueError):
    """Something the user can mend: shown as a message and a remedy, never as a traceback.

    The message names the offending value and its place; the remedy says what to do.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


def check_text(text: str, place: str) -> None:
    """Refuse what is not Unicode: JSON may hold half of a character, a command line any bytes.

    Raises:
        UserMistake: the text holds a lone surrogate; `place` says where it stands.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserMistake(
            f"{place}: {reprlib.repr(text)} holds {text[error.start]!a}, which is no character.",
            "Write whole characters, in UTF-8.",
        ) from error


def installing(extra: str) -> str:
    """How to install what one of bookloom's extras needs, for a remedy."""
    return (
        "In bookloom's folder run .venv/bin/pip install -c requirements.lock "
        f"-c requirements-test.lock -e '.[{extra}]'"
    )
