"""The ways from file to caption do the same work: real clips, with a clock in the engine's place.

The real engine is asked in ``test_gpu.py``, through the same loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.clips import Shape, clip_of
from benchmarks.loops import Unanswered
from benchmarks.pipeline import side_by_side
from benchmarks.runs import Runs


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [clip_of(Shape(0.5, 160, 288, seed=seed), folder) for seed in range(3)] * 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    generation = {"temperature": 0.0, "max_new_tokens": 4, "until": []}
    folder = tmp_path_factory.mktemp("runs")
    with closing(Runs(folder, frames=4, pixels=28 * 28 * 4, generation=generation)) as runs:
        yield runs


def test_every_way_answers_every_clip_and_all_say_the_same(runs: Runs, clips: list[Path]) -> None:
    with runs.paced(0.01):
        taken = side_by_side(runs, clips, rounds=2)
    assert {way: each[0].clips for way, each in taken.items()} == {
        "ours": 6,
        "loop": 6,
        "batches": 6,
        "full": 2,
    }
    for rounds in taken.values():
        assert len(rounds) == 2
        assert all(len(each.captions) == each.clips for each in rounds)


def test_the_loop_leaves_the_engine_idle_while_it_reads(runs: Runs, clips: list[Path]) -> None:
    with runs.paced(0.01):
        loop = runs.loop(clips)
    assert loop.use.idle > 0
    assert loop.use.mean_in_flight < 1


def test_the_figures_of_a_run_are_its_own(runs: Runs, clips: list[Path]) -> None:
    with runs.paced(0.01):
        first, second = runs.ours(clips), runs.ours(clips[:2])
    assert (len(first.captions), len(second.captions)) == (6, 2)
    assert first.rate == pytest.approx(6 / first.seconds)
    assert first.cpu > 0
    assert first.others >= 0
    assert first.memory.peak >= first.memory.own_peak > 0
    assert max(first.memory.peaks(2)) == first.memory.peak


@pytest.mark.parametrize("way", ["ours", "loop", "batches"])
def test_a_clip_without_a_caption_ends_the_measurement(
    runs: Runs, tmp_path: Path, way: str
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip at all")
    with runs.paced(0.0), pytest.raises(Unanswered, match=r"broken\.mp4: the clip cannot be read"):
        getattr(runs, way)([broken])
