"""One process at a time changes who is champion, whichever stores and hosts share a registry.

MLflow has neither locks nor a compare-and-set. What every backend of it does whole is to set a tag
under a name of its own. So whoever wants to go in puts up a tag on the registered model, and then
looks which others are up:

    none            it goes in; whoever comes later sees its tag
    an older one    it takes its own down, waits until no older one is up, and comes again
    newer ones      it leaves its own up and waits: they give way

Of two who are up at the same time the second to look sees the first, so never are two inside. The
age is that of the wish to go in. A name is never used twice, not by one who comes again either: to
take down the tag of a process that has died, or hangs, can't hit the one that it has put up since.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from data.errors import UserMistake
from tasks.seams.report import say
from tasks.seams.store_lease import Holder

PREFIX = "changing the champion "
GIVEN_UP_AFTER_SECONDS = 300.0  # what is done inside takes a second
SECONDS_BETWEEN_LOOKS = 0.2


@contextmanager
def alone(
    client: Any, model_name: str, given_up_after_seconds: float = GIVEN_UP_AFTER_SECONDS
) -> Iterator[Callable[[], None]]:
    """Be the only one in such a block, on this registered model.

    Who died inside, where we see that, is passed at once; one of another machine, or one who hangs,
    after it was watched for `given_up_after_seconds`, whatever the clocks of the two say.

    Yields:
        A check, to be made before what only one may do: raises `UserMistake` where others have
        given this process up.
    """
    tags = _Tags(client, model_name, given_up_after_seconds)
    try:
        tags.wait_until_alone()
        yield tags.check
    finally:
        tags.take_down(tags.own)


class _Tags:
    """The tags that are up on a registered model, one of them one's own."""

    def __init__(self, client: Any, model_name: str, given_up_after_seconds: float) -> None:
        self._since = f"{time.time_ns():020}"
        self.own = self._new_name()
        self._client, self._model_name = client, model_name
        self._given_up_after_seconds = given_up_after_seconds
        self._seen_since: dict[str, float] = {}

    def wait_until_alone(self) -> None:
        """Put up one's own tag, and come back when no other is up."""
        is_told = False
        while True:
            others, is_up = self._seen()
            is_behind = min(others, default=self.own) < self.own
            if is_up and not others:
                return
            if not is_up and not is_behind:
                me = Holder.here("a change of the champion").model_dump_json()
                self.own = self._new_name()
                self._client.set_registered_model_tag(self._model_name, self.own, me)
                continue  # look at once
            if is_up and is_behind:
                self.take_down(self.own)
            if not is_told:
                say(f"waiting for {others[min(others)]}")
                is_told = True
            time.sleep(SECONDS_BETWEEN_LOOKS * random.uniform(0.5, 1.5))

    def check(self) -> None:
        """Raises `UserMistake` where one's own tag is not up any more."""
        if self.own not in self._up():
            raise UserMistake(
                f"This process took more than {self._given_up_after_seconds:,.0f} s to change the "
                "champion: others have passed it.",
                "Run it again.",
            )

    def take_down(self, name: str) -> None:
        """Take down a tag; that it is down already is no error."""
        self._client.delete_registered_model_tag(self._model_name, name)

    def _seen(self) -> tuple[dict[str, Holder], bool]:
        """The tags of others who live, as far as can be told, and whether one's own is up.

        Those of the dead are taken down.
        """
        up, others, now = self._up(), {}, time.monotonic()
        self._seen_since = {name: self._seen_since.get(name, now) for name in up}
        for name in up.keys() - {self.own}:
            holder = Holder.model_validate_json(up[name])
            watched_seconds = now - self._seen_since[name]
            if holder.is_seen_dead() or watched_seconds > self._given_up_after_seconds:
                say(f"{holder} has died or hangs: it is passed", logging.WARNING)
                self.take_down(name)
            else:
                others[name] = holder
        return others, self.own in up

    def _new_name(self) -> str:
        return f"{PREFIX}{self._since} {uuid.uuid4().hex[:8]}"

    def _up(self) -> dict[str, str]:
        tags: Mapping[str, str] = self._client.get_registered_model(self._model_name).tags
        return {name: content for name, content in tags.items() if name.startswith(PREFIX)}
