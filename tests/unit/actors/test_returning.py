"""What a client gives back to a rank."""

from mmc.wire.requests import Return
from tests.fuzz.client_target import ClientScene


def test_a_late_word_of_an_earlier_use_does_not_hide_that_the_record_is_idle() -> None:
    """A put that settles slowly gives back a use that has long ended, while the record is idle again."""
    scene = ClientScene()
    handle = scene.actor.ranks[0]
    for earlier, later in (((3, 4), (3, 2)), ((5, 2), (5, 4))):
        handle.give_back(*earlier)
        handle.give_back(*later)
    scene.pass_time(0.0)
    scene.answer_all()
    scene.pass_time(0.0)
    returned = [message for _, _, message in scene.heard if isinstance(message, Return)]
    assert returned == [Return((3, 5), (4, 4))]
