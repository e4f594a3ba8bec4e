"""Runs that are killed again and again: no finished caption is lost, none is made a second time.

A campaign is one command with one store. It is started, killed after a random number of questions,
and started again until all captions are there; then the next campaign begins with an empty store.
What is asked of the server is counted on the way to it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.captioning import Captioning, Nursery, Run, Stored
from tests.support.clips import write_clip
from tests.support.engine import QUICK
from tests.support.wiretap import Wiretap

pytestmark = [pytest.mark.engine, pytest.mark.timeout(6 * 3600)]

SHORT = 3
CLIPS = 10
# The benchmark's own temperature, of which lmms-eval's cache keeps nothing, and none.
GENERATIONS = [
    {"temperature": temperature, "max_new_tokens": 24, "until": []} for temperature in (0.2, 0.0)
]
MODEL = {"frames": 8, "max_pixels": 12 * 28 * 28, "seed": 42, "decode_workers": 2}
_ENDED_BY_US = "its decoder was ended by SIGKILL"

Captions = list[dict[str, Any]]


@dataclass
class Kill:
    """What was done to one run, and what it had asked and stored."""

    what: str
    before: dict[int, Stored]
    after: dict[int, Stored]
    asked: list[int]
    left: int
    captions: Captions | None = None

    def __str__(self) -> str:
        return (
            f"{self.what}: {len(self.before)} stored before, "
            f"{len(self.after)} after, asked {sorted(self.asked)}"
        )


@dataclass
class Finish:
    """A run that nobody disturbed, on the store that the killed ones left."""

    before: dict[int, Stored]
    after: dict[int, Stored]
    asked: list[int]
    captions: Captions


@dataclass
class Soak:
    """All that happened."""

    undisturbed: Captions = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    finishes: list[Finish] = field(default_factory=list)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{i}.mp4", seconds=2, fps=10, seed=i) for i in range(CLIPS)]


@pytest.fixture(scope="module")
def soaked(
    clips: list[Path],
    checkpoint: Path,
    tap: Wiretap,
    rounds: Callable[[int], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Soak:
    folder = tmp_path_factory.mktemp("kills")
    result = Soak()

    def campaign(name: str) -> Captioning:
        arguments = {**MODEL, "model": checkpoint, "base_url": tap.url, "max_in_flight": 3}
        return Captioning(folder / name, clips, GENERATIONS, **arguments)

    with Nursery(checkpoint) as nursery:
        started = time.monotonic()
        with campaign("undisturbed").start(nursery) as run:
            run.wait_until_it_asks()
            starting = time.monotonic() - started
            result.undisturbed = run.captions()
        random_points = random.Random(1)
        current = campaign("0")
        while len(result.kills) < rounds(SHORT):
            done = _disturb(current, nursery, tap, random_points, starting)
            if isinstance(done, Kill):
                result.kills.append(done)
                print(f"kill {len(result.kills)} of {rounds(SHORT)}, {done}", flush=True)
            if len(current.stored()) == len(current.docs):
                result.finishes.append(_finish(current, nursery, tap))
                current = campaign(str(len(result.finishes)))
        result.finishes.append(_finish(current, nursery, tap))
    return result


def _disturb(
    campaign: Captioning,
    nursery: Nursery,
    tap: Wiretap,
    points: random.Random,
    starting: float,
) -> Kill | None:
    """Start a run and kill it, or its decoders; None if it had ended by then.

    It is killed after some of its questions and a moment (what falls into that moment is chance),
    or within the ``starting`` seconds before its first.
    """
    before = campaign.stored()
    tap.noted.clear()
    early, decoders = points.random() < 0.1, points.random() < 0.1
    with campaign.start(nursery) as run:
        if not early:
            questions = points.randint(1, len(campaign.docs) - len(before))
            run.wait_until(lambda: len(tap.noted) >= questions)
        time.sleep(points.uniform(0, starting if early else 0.3))
        captions = None
        if decoders:
            count = _kill_decoders(run)
            what = f"{count} decoders"
            captions = run.captions()
        else:
            count = int(run.process.poll() is None)
            what = "the run at its start" if early else "the run"
            run.kill()
        left = run.left_behind()
    tap.wait_until_idle()
    if not count:
        return None
    return Kill(what, before, campaign.stored(), list(tap.noted), len(left), captions)


def _kill_decoders(run: Run) -> int:
    """Kill the processes that decode as soon as there are some; return how many there were."""
    run.wait_until(lambda: bool(run.workers()))
    victims = run.workers()
    for victim in victims:
        victim.kill()
    return len(victims)


def _finish(campaign: Captioning, nursery: Nursery, tap: Wiretap) -> Finish:
    before = campaign.stored()
    tap.noted.clear()
    with campaign.start(nursery) as run:
        captions = run.captions()
    return Finish(before, campaign.stored(), list(tap.noted), captions)


def test_as_many_were_killed_as_were_to_be(soaked: Soak, rounds: Callable[[int], int]) -> None:
    assert len(soaked.kills) == rounds(SHORT)
    assert any(kill.captions is None for kill in soaked.kills)
    cut_short = [kill for kill in soaked.kills if 0 < len(kill.after) < len(soaked.undisturbed)]
    assert cut_short, "no kill came in the middle"


def test_what_is_stored_stays_as_it_is(soaked: Soak) -> None:
    """The same rows, made at the same time: nothing is lost and nothing is written again."""
    for step in (*soaked.kills, *soaked.finishes):
        assert {number: step.after.get(number) for number in step.before} == step.before, step


def test_nothing_that_is_stored_is_asked_again(soaked: Soak) -> None:
    for step in (*soaked.kills, *soaked.finishes):
        assert not set(step.asked) & set(step.before), step


def test_nothing_is_asked_twice_in_a_run(soaked: Soak) -> None:
    for step in (*soaked.kills, *soaked.finishes):
        assert max(Counter(step.asked).values(), default=1) == 1, step


def test_what_is_missing_is_asked_in_the_end(soaked: Soak) -> None:
    everything = set(range(len(soaked.undisturbed)))
    for finish in soaked.finishes:
        assert set(finish.asked) == everything - set(finish.before)
        assert set(finish.after) == everything


def test_the_end_is_that_of_an_undisturbed_run(soaked: Soak) -> None:
    wanted = [{**row, "stored": None} for row in soaked.undisturbed]
    assert all(row["error"] is None and row["text"] for row in wanted)
    assert len({row["text"] for row in wanted}) > len(wanted) / 2, "too alike to tell them apart"
    for finish in soaked.finishes:
        assert [{**row, "stored": None} for row in finish.captions] == wanted
        assert [row["stored"] for row in finish.captions] == [
            number in finish.before for number in range(len(wanted))
        ]


def test_a_run_that_is_killed_leaves_no_process_behind(soaked: Soak) -> None:
    for kill in soaked.kills:
        assert kill.left == 0, kill


def test_a_decoder_that_is_killed_takes_one_clip_along_and_not_the_run(soaked: Soak) -> None:
    for kill in soaked.kills:
        if kill.captions is None:
            continue
        failed = {n for n, row in enumerate(kill.captions) if row["error"] is not None}
        assert all(_ENDED_BY_US in kill.captions[number]["error"] for number in failed), kill
        assert len(failed) <= MODEL["decode_workers"], kill
        assert set(kill.after) == set(range(len(kill.captions))) - failed, kill


@pytest.fixture
def own(clips: list[Path], checkpoint: Path, tmp_path: Path) -> Captioning:
    """A command with an engine of its own."""
    arguments = {**QUICK, **MODEL, "model": checkpoint, "max_in_flight": 3}
    return Captioning(tmp_path, clips, GENERATIONS, **arguments)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["while the engine starts", "while it answers"])
def test_an_engine_ends_with_its_run_and_the_next_run_goes_on(
    moment: str, own: Captioning, soaked: Soak
) -> None:
    with own.start() as run:
        if moment == "while it answers":
            assert run.wait_until(lambda: len(own.stored()) >= 3)
        assert run.wait_until(lambda: bool(run.engines()))
        run.kill()
        assert run.left_behind() == []
    before = own.stored()
    assert len(before) < len(own.docs)
    with own.start() as run:
        captions = run.captions()
        assert run.left_behind() == []
    after = own.stored()
    assert {number: after[number] for number in before} == before
    assert [row["text"] for row in captions] == [row["text"] for row in soaked.undisturbed]
    assert [row["stored"] for row in captions] == [n in before for n in range(len(captions))]
