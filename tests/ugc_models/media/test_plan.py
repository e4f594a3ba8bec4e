"""What a decoder must be given, on courses whose dependencies are known."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ugc_models.media.bitstream.kind import Kind
from ugc_models.media.plan import Course, Step, plan


def course(*packets: tuple[int, Kind]) -> Course:
    made = Course()
    for tick, kind in packets:
        made.add(tick, kind)
    return made


def words(steps: bytes | None) -> str:
    assert steps is not None
    return "".join("-dR"[step] for step in steps)


P, B, KEY = Kind.NOTHING, Kind.SPARE, Kind.ENTRY


def test_nothing_after_the_last_wanted_picture_is_looked_at() -> None:
    file = course((0, KEY), (2, P), (1, B), (3, P), (4, P))
    assert words(plan(file, [0, 3])) == "dd-d"


def test_spare_pictures_are_left_out_unless_wanted() -> None:
    file = course((0, KEY), (3, P), (1, B), (2, B), (6, P), (4, B), (5, B))
    assert words(plan(file, [0, 2, 6])) == "dd-dd"


def test_decoding_starts_anew_at_the_last_entry_before_a_wanted_picture() -> None:
    file = course((0, KEY), (1, P), (2, KEY), (3, P), (4, KEY), (5, P), (6, P))
    assert words(plan(file, [0, 5])) == "d---Rd"


def test_a_picture_shown_before_its_entry_is_decoded_from_the_entry_before_that() -> None:
    file = course((0, KEY), (1, P), (4, KEY), (2, B), (3, B), (5, P))
    assert words(plan(file, [0, 3])) == "ddd-d"
    assert words(plan(file, [0, 5])) == "d-R--d"


def test_the_first_packet_is_always_decoded() -> None:
    file = course((0, KEY), (1, P), (2, KEY), (3, P))
    assert words(plan(file, [3])) == "d-Rd"


def test_there_is_no_plan_where_nothing_can_be_left_out() -> None:
    assert plan(course((0, KEY), (1, P), (2, P)), [0, 2]) is None


def test_there_is_no_plan_where_a_time_is_that_of_two_pictures() -> None:
    assert plan(course((0, KEY), (1, B), (1, B), (2, P)), [1]) is None


def test_a_hidden_picture_does_not_stand_for_the_one_that_is_shown_at_its_time() -> None:
    file = course((0, KEY), (1, P | Kind.HIDDEN), (0, KEY | Kind.HIDDEN), (1, P))
    assert words(plan(file, [0, 1])) == "d-Rd"


@dataclass(frozen=True)
class Stream:
    """A course, and for each packet those before it that its picture is made from."""

    course: Course
    needs: list[set[int]]


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Draw groups of pictures: an entry, pictures leading up to it, then references and spares."""
    made, needs = Course(), list[set[int]]()
    old: list[int] = []  # references of the group before
    tick = 0
    for _ in range(draw(st.integers(1, 5))):
        leading = draw(st.integers(0, 2)) if made.kinds else 0
        entry = len(made.kinds)
        made.add(tick + leading, KEY)
        needs.append(set())
        for shown in range(leading):
            made.add(tick + shown, B)
            needs.append({entry, *old[-1:]})
        tick += leading + 1
        references = [entry]
        for _ in range(draw(st.integers(0, 6))):
            between = draw(st.integers(0, 2))
            reference = len(made.kinds)
            made.add(tick + between, P)
            needs.append({draw(st.sampled_from(references))})
            for shown in range(between):
                made.add(tick + shown, B)
                needs.append({reference, draw(st.sampled_from(references))})
            references.append(reference)
            tick += between + 1
        old = references
    return Stream(made, needs)


@given(streams(), st.data())
def test_every_wanted_picture_is_given_to_the_decoder_with_all_that_it_needs(
    stream: Stream, data: st.DataObject
) -> None:
    ticks = data.draw(st.sets(st.sampled_from(list(stream.course.ticks)), min_size=1))
    steps = plan(stream.course, ticks)
    if steps is None:
        return
    whole: set[int] = set()
    shown: set[int] = set()
    for place, step in enumerate(steps):
        if step == Step.RESTART:
            whole.clear()
        if step != Step.LEAVE and stream.needs[place] <= whole:
            whole.add(place)
            shown.add(stream.course.ticks[place])
    assert ticks <= shown
    assert stream.course.ticks[len(steps) - 1] in ticks or len(steps) == 1
