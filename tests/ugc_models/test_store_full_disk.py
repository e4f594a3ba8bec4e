"""A store on a disk that is full: one sentence, nothing lost, and on it goes when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.captioning import Captioning, Nursery, Stored
from tests.support.clips import write_clip
from tests.support.wiretap import Wiretap

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CLIPS = 12
MODEL = {"frames": 8, "max_pixels": 12 * 28 * 28, "decode_workers": 2, "max_in_flight": 2}
GENERATION = {"temperature": 0.2, "max_new_tokens": 16, "until": []}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{i}.mp4", seconds=1, fps=10, seed=i) for i in range(CLIPS)]


@pytest.fixture
def arguments(checkpoint: Path, tap: Wiretap) -> dict[str, Any]:
    tap.noted.clear()
    return {**MODEL, "model": checkpoint, "base_url": tap.url}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no room on a disk; return the file that takes it all."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


def sentence(store: Path) -> str:
    return (
        f"the answer store {store} cannot be written (database or disk is full): make room on its "
        "disk and run the same command again: it goes on from there"
    )


def assert_it_goes_on(
    campaign: Captioning, before: dict[int, Stored], tap: Wiretap, nursery: Nursery
) -> None:
    tap.noted.clear()
    with campaign.start(nursery) as run:
        captions = run.captions()
    assert [row["error"] for row in captions] == [None] * CLIPS
    assert [row["stored"] for row in captions] == [n in before for n in range(CLIPS)]
    assert set(tap.noted) == set(range(CLIPS)) - set(before)
    after = campaign.stored()
    assert {number: after[number] for number in before} == before


def test_a_disk_that_fills_up_in_the_middle(
    small_disk: Path,
    clips: list[Path],
    arguments: dict[str, Any],
    tap: Wiretap,
    nursery: Nursery,
) -> None:
    store = small_disk / "captions.sqlite3"
    campaign = Captioning(small_disk.parent, clips, [GENERATION], store=store, **arguments)
    with campaign.start(nursery) as run:
        assert run.wait_until(lambda: len(campaign.stored()) >= 3)
        ballast = fill(small_disk)
        status, said = run.end(), run.said()
        assert run.left_behind() == []
    assert status == 1
    assert said.count(sentence(store)) == 1, said[-3000:]
    ballast.unlink()
    before = campaign.stored()
    assert 3 <= len(before) < CLIPS
    assert_it_goes_on(campaign, before, tap, nursery)


def test_a_file_that_may_not_grow(
    clips: list[Path],
    arguments: dict[str, Any],
    tap: Wiretap,
    nursery: Nursery,
    tmp_path: Path,
) -> None:
    """The same where no disk may be mounted: SQLite itself takes its disk for this small."""
    campaign = Captioning(tmp_path, clips, [GENERATION], **arguments)
    with campaign.start(nursery, pages=7) as run:
        status, said = run.end(), run.said()
        assert run.left_behind() == []
    assert status == 1
    assert said.count(sentence(campaign.store)) == 1, said[-3000:]
    before = campaign.stored()
    assert 0 < len(before) < CLIPS
    assert_it_goes_on(campaign, before, tap, nursery)
