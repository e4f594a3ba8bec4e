"""Many clips: whole or not at all, what fails tried again, what is dead asked for once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.web_host import HTML, MP4, Answer, WebHost
from ugc_tasks.common.files import DataError
from ugc_tasks.data import clips
from ugc_tasks.data.check import NotChecked
from ugc_tasks.data.clips import Fetched, fetch_clips, staging
from ugc_tasks.data.download import ANY_HOST, TIKTOK, Kind, NoClip
from ugc_tasks.data.ledger import Dead, Ledger


class Fetch(Protocol):
    def __call__(
        self, links: dict[str, str], *, workers: int = 2, controls: Sequence[str] = ()
    ) -> Fetched: ...


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return tmp_path / "videos"


@pytest.fixture
def fetch(videos: Path, ledger: Ledger) -> Fetch:
    def run(links: dict[str, str], *, workers: int = 2, controls: Sequence[str] = ()) -> Fetched:
        return fetch_clips(
            links,
            videos,
            ledger,
            extractors=ANY_HOST,
            workers=workers,
            step=lambda _: None,
            controls=controls,
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
    ledger.note_dead("PI-2", Dead("http://a.example", "gone", "status 404"))
    fetched = fetch(serve_clips(host, clip_bytes, 5), workers=3)
    assert ledger.dead("PI-2") is None, "it is there now"
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
    assert host.asked.count("/1.mp4") == 4
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


BLOCKED = "Your IP address is blocked from accessing this post"
KEPT = "(deleted, or kept from this region or address)"


@dataclass
class Site:
    """A video site in place of yt-dlp's: ``answers`` says by link and number why it gives none."""

    clip: bytes
    answers: Callable[[str, int], NoClip | None]
    asked: list[str] = field(default_factory=list)
    extractors: set[object] = field(default_factory=set)

    def __call__(self, link: str, folder: Path, *, extractors: object, **_: object) -> Path:
        self.asked.append(link)
        self.extractors.add(extractors)
        if (verdict := self.answers(link, len(self.asked))) is not None:
            raise verdict
        (folder / "clip.mp4").write_bytes(self.clip)
        return folder / "clip.mp4"


@pytest.fixture
def site(
    clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[str, int], NoClip | None]], Site]:
    def make(answers: Callable[[str, int], NoClip | None]) -> Site:
        made = Site(clip_bytes, answers)
        monkeypatch.setattr(clips, "download_clip", made)
        monkeypatch.setattr(clips, "admit", lambda found, target, _: found.replace(target))
        return made

    return make


MakeSite = Callable[[Callable[[str, int], NoClip | None]], Site]


def tiktok(count: int) -> dict[str, str]:
    return {f"PI-{n}": f"https://www.tiktok.com/@u/video/{n}" for n in range(1, count + 1)}


def dead(ledger: Ledger, links: dict[str, str]) -> list[str]:
    return [video_id for video_id in links if ledger.dead(video_id)]


@pytest.mark.parametrize("before", [0, 7], ids=["from the start", "in mid-run"])
@pytest.mark.parametrize("kind", ["refused", "gone", "broken"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_block_is_not_taken_for_the_end_of_clips_and_asking_stops(
    *, fetch: Fetch, ledger: Ledger, site: MakeSite, before: int, kind: Kind, workers: int
) -> None:
    blocking = site(lambda link, n: NoClip(kind, BLOCKED) if n > before else None)
    links = tiktok(100)
    fetched = fetch(links, workers=workers)
    assert len(fetched.done) == before
    assert dead(ledger, links) == []
    # 20 in a row, those that were under way, and one that had come.
    assert len(blocking.asked) <= before + 20 + workers + 1
    assert fetched.gave_up is not None
    assert f"20 downloads in a row failed at tiktok.com (the last: {BLOCKED})" in fetched.gave_up
    assert set(fetched.failed.values()) == {BLOCKED}
    assert 20 <= len(fetched.failed) < 20 + workers


def test_a_block_between_failures_is_recognized(
    fetch: Fetch, ledger: Ledger, site: MakeSite
) -> None:
    kinds: tuple[Kind, ...] = ("failed", "refused", "gone")
    site(lambda link, n: NoClip(kinds[int(link.rsplit("/", 1)[1]) % 3], BLOCKED))
    fetched = fetch(tiktok(60))
    assert fetched.gave_up is not None
    assert dead(ledger, tiktok(60)) == []


@pytest.mark.parametrize("workers", [1, 4])
def test_clips_that_are_gone_are_kept_as_gone_while_the_site_answers(
    fetch: Fetch, ledger: Ledger, site: MakeSite, workers: int
) -> None:
    links = tiktok(60)
    # Some in between, more in a row than a block has, and the last ones.
    gone = {f"PI-{n}" for n in (1, 2, 5, *range(10, 35), 40, 58, 59, 60)}
    missing = {links[video_id] for video_id in gone}
    healthy = site(lambda link, n: NoClip("refused", BLOCKED) if link in missing else None)
    fetched = fetch(links, workers=workers)
    assert set(dead(ledger, links)) == gone
    assert (fetched.gave_up, fetched.failed) == (None, {})
    assert ledger.dead("PI-60") == Dead(links["PI-60"], "gone", f"{BLOCKED} {KEPT}")
    assert len(fetched.done) == 60 - len(gone)
    assert all(healthy.asked.count(link) == 1 for link in missing)


def test_a_clip_that_was_asked_for_before_the_block_proves_nothing(
    fetch: Fetch, ledger: Ledger, site: MakeSite
) -> None:
    links, late = tiktok(9), threading.Event()

    def answers(link: str, number: int) -> NoClip | None:
        if number == 1:
            late.wait(30)
            return None
        if number == len(links):
            late.set()
        return NoClip("refused", BLOCKED)

    site(answers)
    fetched = fetch(links, workers=2)
    assert len(fetched.done) == 1
    assert dead(ledger, links) == []
    assert len(fetched.failed) == 8


def test_what_another_site_gives_proves_nothing_of_this_one(
    fetch: Fetch, ledger: Ledger, site: MakeSite
) -> None:
    site(lambda link, n: NoClip("refused", BLOCKED) if "tiktok" in link else None)
    own = {f"PI-own{n}": f"https://files.example/{n}.mp4" for n in range(30)}
    refused = {
        video_id: link.replace("www.", ("www.", "m.", "vm.")[n % 3])
        for n, (video_id, link) in enumerate(tiktok(40).items())
    }
    links = dict(one for pair in zip(own.items(), refused.items(), strict=False) for one in pair)
    links |= refused
    fetched = fetch(links)
    assert set(fetched.done) == set(own), "the other site is asked on"
    assert dead(ledger, links) == []
    assert fetched.gave_up is not None
    assert fetched.gave_up.count("in a row failed") == 1, "one site, whatever its hosts"


@pytest.mark.parametrize("comes", [True, False])
@pytest.mark.parametrize("count", [3, 30])
def test_a_clip_of_an_earlier_run_tells_whether_the_site_still_answers(
    fetch: Fetch, ledger: Ledger, site: MakeSite, comes: bool, count: int
) -> None:
    earlier = [f"https://www.tiktok.com/@u/video/77{n}" for n in range(9)]
    # The first of them has been deleted since.
    asked = site(
        lambda link, n: None if comes and link in earlier[1:] else NoClip("refused", BLOCKED)
    ).asked
    links = tiktok(count)
    fetched = fetch(links, workers=1, controls=["https://other.example/1.mp4", *earlier])
    assert dead(ledger, links) == (list(links) if comes else [])
    assert set(fetched.failed) == (set() if comes else set(list(links)[:20]))
    assert (fetched.gave_up is not None) == (not comes and count == 30)
    assert "https://other.example/1.mp4" not in asked
    assert not set(asked) & set(earlier[3:]), "few are asked for again"


def test_clips_of_earlier_runs_are_asked_for_of_the_same_sites_alone(
    videos: Path, ledger: Ledger, site: MakeSite
) -> None:
    """What only TikTok may be asked for is not asked of any host, to find out whether it is up."""
    earlier = "https://www.tiktok.com/@u/video/77"
    asked = site(lambda link, n: None if link == earlier else NoClip("refused", BLOCKED))
    fetch_clips(
        tiktok(3),
        videos,
        ledger,
        extractors=TIKTOK,
        workers=1,
        step=lambda _: None,
        controls=[earlier],
    )
    assert earlier in asked.asked
    assert asked.extractors == {TIKTOK}


def test_a_failure_is_never_kept_as_gone(fetch: Fetch, ledger: Ledger, site: MakeSite) -> None:
    def answers(link: str, number: int) -> NoClip | None:
        return NoClip("failed", "HTTP 429") if link.endswith(("/1", "/5")) else None

    site(answers)
    fetched = fetch(tiktok(5))
    assert fetched.failed == {"PI-1": "HTTP 429", "PI-5": "HTTP 429"}
    assert dead(ledger, tiktok(5)) == []


def test_a_lack_of_memory_is_a_failure_of_this_time(
    fetch: Fetch, ledger: Ledger, site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise NotChecked("there is not enough memory to check it")

    site(lambda link, n: None)
    monkeypatch.setattr(clips, "admit", lacking)
    assert fetch(tiktok(1)).failed == {"PI-1": "there is not enough memory to check it"}
    assert dead(ledger, tiktok(1)) == []


def test_few_refusals_alone_prove_nothing(fetch: Fetch, ledger: Ledger, site: MakeSite) -> None:
    site(lambda link, n: NoClip("refused", BLOCKED))
    fetched = fetch(tiktok(3))
    assert dead(ledger, tiktok(3)) == []
    assert fetched.failed == dict.fromkeys(tiktok(3), BLOCKED)


def test_a_clip_is_on_the_disk_before_it_has_its_name(
    fetch: Fetch, host: WebHost, videos: Path, clip_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        synced.append((os.fstat(descriptor).st_size, (videos / "PI-1.mp4").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    fetch({"PI-1": host.add("/1.mp4", Answer(clip_bytes, headers=MP4))})
    assert synced == [(len(clip_bytes), False)]


def test_a_host_that_is_down_is_given_up_soon(fetch: Fetch, site: MakeSite) -> None:
    asked = site(lambda link, n: NoClip("failed", "Connection refused")).asked
    fetched = fetch(tiktok(200), workers=4)
    assert fetched.gave_up is not None
    assert "20 downloads in a row failed" in fetched.gave_up
    assert 20 <= len(fetched.failed) < 40
    assert len(asked) < 40 * 4


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
