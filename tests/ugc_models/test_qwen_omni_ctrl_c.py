"""Ctrl-C, as a terminal sends it: to the run and all that it started, at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.captioning import Captioning, Nursery, Stored
from tests.support.clips import write_clip
from tests.support.engine import QUICK
from tests.support.wiretap import Wiretap

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CLIPS = 10
IN_FLIGHT = 3
MODEL = {"frames": 8, "max_pixels": 12 * 28 * 28, "decode_workers": 2, "max_in_flight": IN_FLIGHT}
GENERATION = {"temperature": 0.0, "max_new_tokens": 24, "until": []}
FIRST = "Interrupted: what is in flight is finished and kept. Once more to stop at once."
GO_ON = "run the same command again to go on"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{i}.mp4", seconds=2, fps=10, seed=i) for i in range(CLIPS)]


@pytest.fixture(scope="module")
def served(
    clips: list[Path], checkpoint: Path, tap: Wiretap, tmp_path_factory: pytest.TempPathFactory
) -> Captioning:
    """A command that asks a server."""
    folder = tmp_path_factory.mktemp("served")
    return Captioning(folder, clips, [GENERATION], model=checkpoint, base_url=tap.url, **MODEL)


@pytest.fixture
def own(clips: list[Path], checkpoint: Path, tmp_path: Path) -> Captioning:
    """A command with an engine of its own, whose captions take a while."""
    long = {**GENERATION, "max_new_tokens": 150}
    return Captioning(tmp_path, clips, [long], model=checkpoint, **QUICK, **MODEL)


@dataclass
class Interrupted:
    """A run that Ctrl-C ended."""

    asked_before: int
    asked: list[int]
    status: int
    said: str
    stored: dict[int, Stored]
    left: int


def answered(said: str) -> int:
    """Return how many answers a run says it has at its end."""
    found = re.search(rf"(\d+) of {CLIPS} requests are answered; {GO_ON}", said)
    assert found is not None, said[-2000:]
    return int(found[1])


class TestTheFirst:
    """While answers are held back, so that some requests are in flight for certain."""

    @pytest.fixture(scope="class")
    def interrupted(self, served: Captioning, tap: Wiretap, nursery: Nursery) -> Interrupted:
        # The fourth question passes after the first answer; two more answers may pass meanwhile.
        tap.most = IN_FLIGHT + 1
        with served.start(nursery) as run:
            assert run.wait_until(lambda: len(tap.noted) > IN_FLIGHT)
            assert run.wait_until(lambda: len(served.stored()) >= 1)
            before = len(tap.noted)
            run.interrupt()
            assert run.wait_until_it_says(FIRST), run.said()
            waits = run.process.poll() is None
            tap.most = None
            status = run.end()
            left = len(run.left_behind())
        assert waits, "it did not wait for what is in flight"
        return Interrupted(before, list(tap.noted), status, run.said(), served.stored(), left)

    def test_what_is_in_flight_is_finished_and_kept(self, interrupted: Interrupted) -> None:
        assert sorted(interrupted.asked) == sorted(interrupted.stored)

    def test_nothing_new_is_begun(self, interrupted: Interrupted) -> None:
        assert len(interrupted.asked) <= interrupted.asked_before + IN_FLIGHT < CLIPS

    def test_it_ends_as_an_interrupted_program_and_says_how_to_go_on(
        self, interrupted: Interrupted
    ) -> None:
        assert interrupted.status != 0
        assert answered(interrupted.said) == len(interrupted.stored)

    def test_no_process_is_left(self, interrupted: Interrupted) -> None:
        assert interrupted.left == 0

    def test_the_same_command_goes_on(
        self, interrupted: Interrupted, served: Captioning, tap: Wiretap, nursery: Nursery
    ) -> None:
        tap.noted.clear()
        with served.start(nursery) as run:
            captions = run.captions()
        assert set(tap.noted) == set(range(CLIPS)) - set(interrupted.stored)
        assert [row["stored"] for row in captions] == [
            number in interrupted.stored for number in range(CLIPS)
        ]


def test_the_second_waits_for_nothing(
    clips: list[Path], checkpoint: Path, tap: Wiretap, nursery: Nursery, tmp_path: Path
) -> None:
    campaign = Captioning(
        tmp_path, clips, [GENERATION], model=checkpoint, base_url=tap.url, **MODEL
    )
    tap.noted.clear()
    with campaign.start(nursery) as run:
        assert run.wait_until_it_asks()
        tap.held = True
        try:
            assert run.wait_until(lambda: len(tap.noted) >= IN_FLIGHT)
            run.interrupt()
            assert run.wait_until_it_says(FIRST)
            assert run.process.poll() is None
            run.interrupt()
            assert run.end() != 0
            assert run.left_behind() == []
        finally:
            tap.held = False
    assert answered(run.said()) == len(campaign.stored())
    assert len(campaign.stored()) < len(tap.noted)


class TestAnEngineOfItsOwn:
    """It is in the terminal's group too, and must not end before its run does."""

    def test_finishes_what_is_in_flight_and_then_ends(
        self, own: Captioning, nursery: Nursery
    ) -> None:
        with own.start(nursery) as run:
            assert run.wait_until(lambda: bool(own.stored()))
            before = len(own.stored())
            run.interrupt()
            status = run.end()
            left = run.left_behind()
        assert status != 0, run.said()
        assert FIRST in run.said()
        assert "died" not in run.said()
        assert before < len(own.stored()) == answered(run.said()) <= before + 2 * IN_FLIGHT
        assert left == []

    @pytest.mark.long
    def test_while_it_starts_there_is_nothing_to_wait_for(
        self, own: Captioning, nursery: Nursery
    ) -> None:
        with own.start(nursery) as run:
            assert run.wait_until(lambda: bool(run.engines()))
            run.interrupt()
            assert run.end() != 0, run.said()
            assert run.left_behind() == []
        assert FIRST not in run.said()
        assert answered(run.said()) == len(own.stored()) == 0

    @pytest.mark.long
    def test_one_that_hangs_is_left_with_the_second(
        self, own: Captioning, nursery: Nursery
    ) -> None:
        with own.start(nursery) as run:
            assert run.wait_until(lambda: bool(own.stored()))
            for engine in run.engines():
                engine.suspend()
            run.interrupt()
            assert run.wait_until_it_says(FIRST)
            assert run.process.poll() is None
            run.interrupt()
            assert run.end() != 0, run.said()
            assert run.left_behind() == []
