"""Which replica of several on other hosts is asked first."""

from hypothesis import given
from hypothesis import strategies as st

from mmc.actors.client.far import Place, nearest_first
from mmc.cache.membership import MemberState
from mmc.identifiers import Member

RANKS = st.lists(
    st.tuples(st.sampled_from([MemberState.LIVE, MemberState.SUSPECT]), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


def places_of(ranks: list[tuple[MemberState, int]]) -> list[Place]:
    """A replica on each of these ranks."""
    return [
        Place(Member(number, 1, int(state), number, 2, 64, "/p", "u", "d"), 0, 2, 10)
        for number, (state, _) in enumerate(ranks)
    ]


@given(ranks=RANKS, chooser=st.integers())
def test_sound_ranks_come_first_and_of_these_the_nearest(
    ranks: list[tuple[MemberState, int]], chooser: int
) -> None:
    """Each replica is asked once, whoever asks."""
    places = places_of(ranks)
    far = nearest_first(places, lambda member: ranks[member.rank][1], chooser)
    assert sorted(far.places) == places
    ordered = [ranks[place.member.rank] for place in far.places]
    assert ordered == sorted(ordered, key=lambda rank: (rank[0] == MemberState.SUSPECT, rank[1]))


def test_equally_near_replicas_share_the_work() -> None:
    """Of 1,000 objects each of four replicas is asked first for about a quarter."""
    places = places_of([(MemberState.LIVE, 1)] * 4)
    first = [nearest_first(places, lambda _: 1, hash((7, number))).places[0] for number in range(1000)]
    assert all(200 < first.count(place) < 300 for place in places)
