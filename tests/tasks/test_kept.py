"""What is kept from shard to shard."""

from tasks.seams.kept import kept, turn_to


def test_what_is_kept_stays_until_the_process_turns_to_other_work() -> None:
    made: list[int] = []

    @kept
    def thing() -> int:
        made.append(len(made))
        return made[-1]

    turn_to("cutting")
    assert [thing(), thing()] == [0, 0]
    turn_to("cutting")
    assert thing() == 0
    turn_to("counting")
    assert [thing(), thing()] == [1, 1]
