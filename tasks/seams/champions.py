"""Who is champion among the registered models, who was, and who is told to wait.

The alias `champion` is the truth: whoever names no model gets it, and one write changes it. A tag
of the registered model lists those who were promoted, each once, oldest first; the champion before
is whoever stands there before the present one. So a rollback is one write, too, and a process that
dies between two writes leaves nothing that misleads. `challenger` is the newest model that was
refused, until it becomes champion.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.seams.registry_lock import alone
from tasks.seams.tracking import open_client

MODEL_NAME = "bookloom"
CHAMPION, CHALLENGER = "champion", "challenger"
PROMOTED = "promoted from the oldest on"
PROMOTED_AT, ROLLED_BACK_AT = "promoted_at", "rolled_back_at"
MOST_REMEMBERED = 500  # MLflow's tags take 5,000 characters


@dataclass(frozen=True)
class Version:
    """A registered model."""

    number: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    unix_seconds: float
    """When it was registered."""
    mlflow_run_id: str | None

    @property
    def uri(self) -> str:
        """By which MLflow and bookloom's commands name it."""
        return f"models:/{MODEL_NAME}/{self.number}"

    @property
    def digest(self) -> str | None:
        """Of the model; none where the run that registered it died before it said so."""
        return self.tags.get("digest")


@dataclass(frozen=True)
class Standing:
    """All registered models and who is what, as read at one moment."""

    versions: Mapping[int, Version]
    """By number, the newest first."""
    aliases: Mapping[str, int]
    promoted: tuple[int, ...] = ()

    @property
    def champion(self) -> Version | None:
        """The model of whoever names none."""
        return self.versions.get(self.aliases.get(CHAMPION, 0))

    @property
    def newest(self) -> Version | None:
        """The model that was registered last."""
        return next(iter(self.versions.values()), None)

    @property
    def former(self) -> list[Version]:
        """Those who were champion before the present one, the latest last."""
        past, number = self.promoted, self.aliases.get(CHAMPION)
        if number in past:
            past = past[: past.index(number)]
        return [self.versions[one] for one in past if one in self.versions]

    @property
    def before(self) -> Version | None:
        """To whom a rollback returns."""
        return self.former[-1] if self.former else None


class Champions:
    """The registered models of an MLflow store, and the changes of their standing."""

    def __init__(self, tracking_uri: str) -> None:
        self._client = open_client(tracking_uri)

    def standing(self) -> Standing:
        """As it is now."""
        named = f"name='{MODEL_NAME}'"
        [*registered] = self._client.search_registered_models(named)
        if not registered:
            return Standing({}, {})
        aliases = {alias: int(number) for alias, number in registered[0].aliases.items()}
        versions = {int(v.version): v for v in self._client.search_model_versions(named)}
        return Standing(
            {
                number: Version(
                    number,
                    versions[number].tags,
                    tuple(alias for alias, of in aliases.items() if of == number),
                    versions[number].creation_timestamp / 1000,
                    versions[number].run_id,
                )
                for number in sorted(versions, reverse=True)
            },
            aliases,
            tuple(json.loads(registered[0].tags.get(PROMOTED, "[]"))),
        )

    @contextmanager
    def alone(self) -> Iterator["Changes"]:
        """Change the standing while nobody else does, in any process that uses the registry."""
        with alone(self._client, MODEL_NAME) as check:
            yield Changes(self._client, self.standing(), check)


class Changes:
    """What may be changed by one who is alone; `standing` is as it was found."""

    def __init__(self, client: Any, standing: Standing, check: Any) -> None:
        self._client, self.standing, self._check = client, standing, check

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Note facts about a model."""
        for name, value in tags.items():
            self._client.set_model_version_tag(MODEL_NAME, str(version.number), name, value)

    def retag(self, version: Version, prefix: str, tags: Mapping[str, str]) -> None:
        """Note facts about a model in place of all those whose names begin so."""
        noted = self.standing.versions.get(version.number, version).tags
        for name in noted.keys() - tags.keys():
            if name.startswith(prefix):
                self._client.delete_model_version_tag(MODEL_NAME, str(version.number), name)
        self.tag(version, tags)

    def crown(self, version: Version) -> None:
        """Make a model the champion."""
        was = [*self.standing.former, *[one for one in [self.standing.champion] if one]]
        numbers = [one.number for one in was if one.number != version.number]
        promoted = [*numbers, version.number][-MOST_REMEMBERED:]
        self._check()
        self._client.set_registered_model_tag(MODEL_NAME, PROMOTED, json.dumps(promoted))
        self.tag(version, {PROMOTED_AT: _now()})
        if ROLLED_BACK_AT in version.tags:
            number = str(version.number)
            self._client.delete_model_version_tag(MODEL_NAME, number, ROLLED_BACK_AT)
        self._make_champion(version)

    def refuse(self, version: Version) -> None:
        """Make a model the challenger."""
        self._client.set_registered_model_alias(MODEL_NAME, CHALLENGER, str(version.number))

    def roll_back(self, champion: Version, before: Version) -> None:
        """Make the champion before the champion again."""
        self.tag(champion, {ROLLED_BACK_AT: _now()})
        self._make_champion(before)

    def _make_champion(self, version: Version) -> None:
        self._check()
        if self.standing.aliases.get(CHALLENGER) == version.number:
            self._client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)
        self._client.set_registered_model_alias(MODEL_NAME, CHAMPION, str(version.number))


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
