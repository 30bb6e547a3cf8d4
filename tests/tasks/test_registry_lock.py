"""Turns at changing the champion, on tags that stand in memory and a clock set by hand."""

from types import SimpleNamespace

import pytest

from tasks.seams import registry_lock
from tasks.seams.registry_lock import PREFIX, _Tags
from tasks.seams.store_lease import Holder

ELSEWHERE = Holder.here("a change").model_copy(update={"machine": "another", "process": 1})


class Registry:
    """The tags of a registered model; it remembers all names there ever were."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.names: list[str] = []

    def set_registered_model_tag(self, model: str, name: str, content: str) -> None:
        self.tags[name] = content
        self.names.append(name)

    def delete_registered_model_tag(self, model: str, name: str) -> None:
        self.tags.pop(name, None)

    def get_registered_model(self, model: str) -> SimpleNamespace:
        return SimpleNamespace(tags=dict(self.tags))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(registry_lock.time, "monotonic", lambda: clock.now)
    return clock


def test_who_was_down_in_between_is_watched_anew(clock: SimpleNamespace) -> None:
    """Another takes turns for 5 minutes and is inside at last: only the last stay counts."""
    registry, mine = Registry(), f"{PREFIX}9"
    tags = _Tags(registry, "bookloom", 300.0)
    tags.own = mine
    for _ in range(4):
        registry.tags[f"{PREFIX}1"] = ELSEWHERE.model_dump_json()
        assert tags._seen()[0] == {f"{PREFIX}1": ELSEWHERE}
        registry.tags.clear()
        clock.now += 100.0
        assert tags._seen()[0] == {}
    registry.tags[f"{PREFIX}1"] = ELSEWHERE.model_dump_json()
    assert tags._seen()[0] == {f"{PREFIX}1": ELSEWHERE}
    clock.now += 299.0
    assert tags._seen()[0] == {f"{PREFIX}1": ELSEWHERE}
    clock.now += 2.0
    assert tags._seen()[0] == {}, "it hangs"
    assert registry.tags == {}


def test_no_name_is_used_twice_and_its_age_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives way to an older one; then a newer one, for which it waits, takes it for dead."""
    registry = Registry()
    tags = _Tags(registry, "bookloom", 300.0)
    comes = iter([f"{PREFIX}{0:020} a", f"{PREFIX}{10**19:020} b"])

    def sleep(seconds: float) -> None:
        """Others leave; the newer one has taken down all that it saw."""
        registry.tags.clear()

    def put_up(model: str, name: str, content: str) -> None:
        """Another comes at the same time."""
        Registry.set_registered_model_tag(registry, model, name, content)
        if other := next(comes, None):
            registry.tags[other] = ELSEWHERE.model_dump_json()

    monkeypatch.setattr(registry_lock.time, "sleep", sleep)
    monkeypatch.setattr(registry, "set_registered_model_tag", put_up)
    monkeypatch.setattr(registry_lock, "say", lambda *_: None)
    tags.wait_until_alone()
    assert len(registry.names) == len(set(registry.names)) == 3
    assert len({name[: len(PREFIX) + 20] for name in registry.names}) == 1
    assert [*registry.tags] == [tags.own] == registry.names[-1:]
