"""Many clips: whole or not at all, what fails tried again, what is dead asked for once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.web_host import HTML, MP4, Answer, WebHost
from ugc_tasks.data import clips
from ugc_tasks.data.clips import TRIES, Fetched, fetch_clips, staging
from ugc_tasks.data.download import ANY_HOST, NoClip, download_clip
from ugc_tasks.data.home import DataError
from ugc_tasks.data.ledger import Dead, Ledger


class Fetch(Protocol):
    def __call__(self, links: dict[str, str], *, workers: int = 2) -> Fetched: ...


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return tmp_path / "videos"


@pytest.fixture
def fetch(videos: Path, ledger: Ledger) -> Fetch:
    def run(links: dict[str, str], *, workers: int = 2) -> Fetched:
        return fetch_clips(
            links,
            videos,
            ledger,
            extractors=ANY_HOST,
            workers=workers,
            step=lambda _: None,
            pause_s=0.01,
        )

    return run


def serve_clips(host: WebHost, clip: bytes, count: int) -> dict[str, str]:
    return {
        f"PI-{n}": host.add(f"/{n}.mp4", Answer(clip, headers=MP4)) for n in range(1, count + 1)
    }


def there(videos: Path) -> set[str]:
    return {path.name for path in videos.iterdir()}


def test_clips_come_under_their_ids_and_nothing_stays_beside_them(
    fetch: Fetch, host: WebHost, videos: Path, ledger: Ledger, clip_bytes: bytes
) -> None:
    fetched = fetch(serve_clips(host, clip_bytes, 5), workers=3)
    assert sorted(fetched.done) == [f"PI-{n}" for n in range(1, 6)]
    assert there(videos) == {f"PI-{n}.mp4" for n in range(1, 6)}
    assert ledger.checked(videos / "PI-1.mp4") == (True, None), "it is not looked at again"


@pytest.mark.parametrize(
    "fault",
    [Answer(status=429), Answer(status=500), Answer(b"x" * 9000, headers=MP4, cut=100)],
    ids=["too many requests", "out of order", "cut"],
)
def test_what_may_pass_is_tried_again(
    fetch: Fetch, host: WebHost, videos: Path, clip_bytes: bytes, fault: Answer
) -> None:
    link = host.add("/1.mp4", fault, fault, Answer(clip_bytes, headers=MP4))
    assert fetch({"PI-1": link}).done == ["PI-1"]
    assert (videos / "PI-1.mp4").read_bytes() == clip_bytes


def test_what_does_not_pass_is_named_and_tried_in_the_next_run(
    fetch: Fetch, host: WebHost, videos: Path, ledger: Ledger, clip_bytes: bytes
) -> None:
    links = serve_clips(host, clip_bytes, 2)
    host.add("/1.mp4", Answer(status=503))
    fetched = fetch(links)
    assert fetched.done == ["PI-2"]
    assert fetched.failed == {"PI-1": "the server answered with status 503"}
    assert host.asked.count("/1.mp4") == TRIES
    assert ledger.dead("PI-1") is None
    assert there(videos) == {"PI-2.mp4"}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Answer(status=404), "gone", "status 404"),
        (Answer(status=410), "gone", "status 410"),
        (Answer(b"<html>no</html>", headers=HTML), "broken", "the page has no video"),
        (Answer(b"<html>no</html>", headers=MP4), "broken", "what came is no clip: it is not a"),
        (Answer(b"\0" * 5000, headers=MP4), "broken", "what came is no clip: it is not a"),
    ],
    ids=["404", "410", "page", "page that says it is a video", "zeros"],
)
def test_a_dead_link_is_asked_once_and_kept_with_its_reason(
    *,
    fetch: Fetch,
    host: WebHost,
    videos: Path,
    ledger: Ledger,
    answer: Answer,
    kind: str,
    said: str,
) -> None:
    link = host.add("/1.mp4", answer)
    fetched = fetch({"PI-1": link})
    assert (fetched.done, fetched.failed) == ([], {})
    dead = ledger.dead("PI-1")
    assert dead is not None
    assert (dead.link, dead.kind) == (link, kind)
    assert said in dead.reason
    assert len(host.asked) <= 2, "the page, and perhaps the file"
    assert there(videos) == set()


def test_a_whole_clip_is_not_replaced_by_one_that_is_none(
    fetch: Fetch, host: WebHost, videos: Path, clip_bytes: bytes
) -> None:
    fetch(serve_clips(host, clip_bytes, 1))
    fetch({"PI-1": host.add("/new.mp4", Answer(clip_bytes[:4000], headers=MP4))})
    assert (videos / "PI-1.mp4").read_bytes() == clip_bytes


@pytest.mark.parametrize("others", [0, 1], ids=["all refused", "one given"])
def test_a_refusal_counts_against_a_clip_only_where_others_are_given(
    *,
    fetch: Fetch,
    host: WebHost,
    ledger: Ledger,
    clip_bytes: bytes,
    monkeypatch: pytest.MonkeyPatch,
    others: int,
) -> None:
    real = download_clip

    def refusing(link: str, folder: Path, **options: object) -> Path:
        if "refused" in link:
            raise NoClip("refused", "Your IP address is blocked")
        return real(link, folder, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(clips, "download_clip", refusing)
    links = {"PI-9": f"{host.endpoint}/refused"} | serve_clips(host, clip_bytes, others)
    fetched = fetch(links)
    if others:
        assert ledger.dead("PI-9") == Dead(
            links["PI-9"],
            "gone",
            "Your IP address is blocked (deleted, or kept from this region or address)",
        )
    else:
        assert ledger.dead("PI-9") is None
        assert fetched.failed == {"PI-9": "Your IP address is blocked"}


def test_a_host_that_is_down_is_given_up_soon(fetch: Fetch) -> None:
    with WebHost().running() as gone:
        pass
    fetched = fetch({f"PI-{n}": f"{gone.endpoint}/{n}.mp4" for n in range(200)}, workers=4)
    assert fetched.gave_up is not None
    assert "20 downloads in a row failed" in fetched.gave_up
    assert 20 <= len(fetched.failed) < 40


def test_no_more_run_at_once_than_is_allowed(
    fetch: Fetch, host: WebHost, clip_bytes: bytes
) -> None:
    host.slow = threading.Event()
    waiting: list[int] = []

    def count() -> None:
        while len(host.asked) < 2:
            time.sleep(0.01)
        time.sleep(0.5)  # a third would come now
        waiting.append(len(host.asked))
        assert host.slow is not None
        host.slow.set()

    counting = threading.Thread(target=count)
    counting.start()
    fetch(serve_clips(host, clip_bytes, 6), workers=2)
    counting.join()
    assert waiting == [2]


def test_an_interrupted_run_keeps_what_came_and_leaves_nothing_half_done(
    host: WebHost, videos: Path, ledger: Ledger, clip_bytes: bytes
) -> None:
    links = serve_clips(host, clip_bytes, 30)

    def interrupt(video_id: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_clips(links, videos, ledger, extractors=ANY_HOST, workers=1, step=interrupt)
    assert 1 <= len(there(videos)) < 30
    assert all((videos / name).read_bytes() == clip_bytes for name in there(videos))


def test_leftovers_of_a_killed_run_are_removed_when_they_are_old(videos: Path) -> None:
    for name in ("old", "new"):
        (videos / f".prepare-{name}").mkdir(parents=True)
        (videos / f".prepare-{name}" / "half.mp4").touch()
    os.utime(videos / ".prepare-old", (0, 0))
    with staging(videos) as scratch:
        assert scratch.parent == videos
        assert not (videos / ".prepare-old").exists()
    assert there(videos) == {".prepare-new"}, "it may be another run's"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, fetch: Fetch) -> None:
    (tmp_path / "videos").write_text("a file")
    with pytest.raises(DataError, match="videos: clips cannot be written there"):
        fetch({"PI-1": "http://127.0.0.1:1/1.mp4"})
