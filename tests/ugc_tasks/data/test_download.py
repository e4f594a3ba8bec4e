"""One link is followed by the real yt-dlp: to a file, to a page with one, to TikTok's own pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from yt_dlp.extractor.tiktok import TikTokBaseIE
from yt_dlp.utils import ExtractorError

from tests.support.web_host import HTML, MP4, Answer, WebHost
from ugc_tasks.data import download
from ugc_tasks.data.download import ANY_HOST, TIKTOK, NoClip, download_clip

Get = Callable[..., Path]


@pytest.fixture
def get(tmp_path: Path) -> Get:
    """Follow a link; every call has a folder of its own."""

    def follow(link: str, **options: object) -> Path:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        chosen = {"extractors": ANY_HOST, "stop": threading.Event(), **options}
        with pytest.MonkeyPatch.context() as patch:
            for name in options.keys() - {"extractors", "stop"}:
                patch.setattr(download, name, chosen.pop(name))
            return download_clip(link, folder, **chosen)  # type: ignore[arg-type]

    return follow


def failure(get: Get, link: str, **options: object) -> tuple[str, str]:
    with pytest.raises(NoClip) as caught:
        get(link, **options)
    return caught.value.kind, caught.value.reason


def test_a_link_to_a_file_gives_the_file(get: Get, host: WebHost, clip_bytes: bytes) -> None:
    assert get(host.add("/clip.mp4", Answer(clip_bytes, headers=MP4))).read_bytes() == clip_bytes


def test_a_page_with_a_video_gives_the_video(get: Get, host: WebHost, clip_bytes: bytes) -> None:
    host.add("/media/1.mp4", Answer(clip_bytes, headers=MP4))
    page = b'<html><body><video><source src="/media/1.mp4"></video></body></html>'
    assert get(host.add("/watch", Answer(page, headers=HTML))).read_bytes() == clip_bytes
    assert host.asked[-1] == "/media/1.mp4"


def test_a_redirect_is_followed(get: Get, host: WebHost, clip_bytes: bytes) -> None:
    host.add("/clip.mp4", Answer(clip_bytes, headers=MP4))
    link = host.add("/old", Answer(status=302, headers={"Location": "/clip.mp4"}))
    assert get(link).read_bytes() == clip_bytes


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, "gone"),
        (410, "gone"),
        (451, "refused"),
        (403, "failed"),
        (429, "failed"),
        (500, "failed"),
    ],
)
def test_a_refusal_is_for_good_only_where_the_server_says_so(
    get: Get, host: WebHost, status: int, kind: str
) -> None:
    link = host.add("/clip.mp4", Answer(status=status))
    assert failure(get, link) == (kind, f"the server answered with status {status}")
    assert host.asked == ["/clip.mp4"], "whoever calls tries again, not yt-dlp"


def test_a_cut_connection_is_a_failure_of_this_time(
    get: Get, host: WebHost, clip_bytes: bytes
) -> None:
    link = host.add("/clip.mp4", Answer(clip_bytes, headers=MP4, cut=5000))
    kind, reason = failure(get, link)
    assert kind == "failed"
    assert "5000 bytes read" in reason


def test_a_server_that_is_not_there_is_a_failure_of_this_time(get: Get) -> None:
    with WebHost().running() as gone:
        pass
    assert failure(get, f"{gone.endpoint}/clip.mp4")[0] == "failed"


def test_a_page_without_a_video_is_no_clip(get: Get, host: WebHost) -> None:
    link = host.add("/clip.mp4", Answer(b"<html>sign in, please</html>", headers=HTML))
    assert failure(get, link) == ("broken", "the page has no video")


@pytest.mark.parametrize("headers", [MP4, HTML], ids=["file", "page"])
def test_an_endless_answer_is_cut_short(get: Get, host: WebHost, headers: dict[str, str]) -> None:
    block = b"<html>" + b"x" * (1 << 20)
    link = host.add("/clip.mp4", Answer(block, headers=headers, endless=True))
    kind, reason = failure(get, link, MAX_CLIP_BYTES=4 << 20)
    assert kind == "broken"
    assert "too large for a clip" in reason or "does not end" in reason


def test_a_file_that_says_it_is_too_large_is_not_fetched(get: Get, host: WebHost) -> None:
    link = host.add("/clip.mp4", Answer(b"x" * 5000, headers=MP4))
    assert failure(get, link, MAX_CLIP_BYTES=4000)[0] == "broken"


def test_a_download_may_take_only_so_long(get: Get, host: WebHost) -> None:
    link = host.add("/clip.mp4", Answer(b"x" * 1000, headers=MP4, endless=True))
    # However fast this machine is: the size is not what ends it.
    fate = failure(get, link, _TOTAL_S=0.5, MAX_CLIP_BYTES=1 << 50)
    assert fate == ("failed", "the download takes too long")


def test_a_run_that_is_stopped_reads_no_further(get: Get, host: WebHost) -> None:
    stop = threading.Event()
    link = host.add("/clip.mp4", Answer(b"x" * 1000, headers=MP4, endless=True))
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(NoClip, match="the run was stopped"):
        get(link, stop=stop, MAX_CLIP_BYTES=1 << 50)


def test_a_page_cannot_name_a_file_on_this_machine(
    get: Get, host: WebHost, tmp_path: Path, clip_bytes: bytes
) -> None:
    (tmp_path / "secret.mp4").write_bytes(clip_bytes)
    page = f'<html><video src="file://{tmp_path}/secret.mp4"></video></html>'.encode()
    kind, reason = failure(get, host.add("/watch", Answer(page, headers=HTML)))
    assert kind in {"broken", "failed"}
    assert "secret.mp4" not in reason


def test_a_plugin_of_the_users_yt_dlp_is_not_run(tmp_path: Path) -> None:
    plugin = tmp_path / "yt-dlp" / "plugins" / "own" / "yt_dlp_plugins" / "extractor" / "own.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("print('the plugin was run')")
    program = """
import sys, threading
from pathlib import Path
from ugc_tasks.data import download
from ugc_tasks.data.download import ANY_HOST, NoClip, download_clip
try:
    download_clip("nowhere", Path(sys.argv[1]), extractors=ANY_HOST, stop=threading.Event())
except NoClip:
    print("no clip")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "no clip\n"


def test_the_datasets_links_are_followed_to_tiktok_alone(get: Get, host: WebHost) -> None:
    kind, _ = failure(get, host.add("/clip.mp4", Answer(b"x")), extractors=TIKTOK)
    assert (kind, host.asked) == ("broken", [])


@pytest.fixture
def tiktok(host: WebHost, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """TikTok's page of a video on loopback; only its address is not TikTok's."""
    link = "https://www.tiktok.com/@somebody/video/7479179770182552878"

    def address(user: str | None, video: str) -> str:
        return f"{host.endpoint}/@{user}/video/{video}"

    monkeypatch.setattr(TikTokBaseIE, "_create_url", staticmethod(address))

    def serve(status: int, **item: object) -> str:
        detail = {"statusCode": status, "itemInfo": {"itemStruct": item}}
        data = json.dumps({"__DEFAULT_SCOPE__": {"webapp.video-detail": detail}})
        page = f'<html><script id="__UNIVERSAL_DATA_FOR_REHYDRATION__">{data}</script></html>'
        host.add("/@somebody/video/7479179770182552878", Answer(page.encode(), headers=HTML))
        return link

    return serve


def test_tiktoks_page_gives_its_video(
    get: Get, host: WebHost, tiktok: Callable[..., str], clip_bytes: bytes
) -> None:
    media = host.add("/media.mp4", Answer(clip_bytes, headers=MP4))
    video = {"playAddr": media, "width": 120, "height": 160, "duration": 2, "format": "mp4"}
    link = tiktok(0, id="7479179770182552878", desc="", video=video, author={})
    assert get(link, extractors=TIKTOK).read_bytes() == clip_bytes


@pytest.mark.parametrize(
    ("status", "kind"),
    [(10216, "gone"), (10222, "gone"), (10204, "refused"), (10231, "refused")],
    ids=["private post", "private account", "deleted or blocked", "not available"],
)
def test_tiktoks_words_for_what_is_not_there_are_understood(
    get: Get, tiktok: Callable[..., str], status: int, kind: str
) -> None:
    found, reason = failure(get, tiktok(status), extractors=TIKTOK)
    assert found == kind
    assert reason and "\n" not in reason and "yt-dlp -U" not in reason


@pytest.mark.parametrize(
    "page",
    [
        b'<html><div id="captcha">Please wait...</div></html>',
        b"<html>Verify that you are not a robot</html>",
        b"",
        b'<html><script id="__UNIVERSAL_DATA_FOR_REHYDRATION__">{}</script></html>',
    ],
    ids=["challenge", "captcha", "empty", "no data"],
)
def test_a_page_that_says_nothing_of_the_clip_is_a_failure_of_this_time(
    get: Get, host: WebHost, tiktok: Callable[..., str], page: bytes
) -> None:
    link = tiktok(0)
    host.add("/@somebody/video/7479179770182552878", Answer(page, headers=HTML))
    assert failure(get, link, extractors=TIKTOK)[0] == "failed"


def test_a_site_that_wants_a_login_refuses(
    get: Get, host: WebHost, tiktok: Callable[..., str]
) -> None:
    link = tiktok(0)
    login = Answer(status=302, headers={"Location": "/login?redirect=1"})
    host.add("/@somebody/video/7479179770182552878", login)
    host.add("/login?redirect=1", Answer(b"<html>Log in</html>", headers=HTML))
    kind, reason = failure(get, link, extractors=TIKTOK)
    assert kind == "refused"
    assert "requiring login" in reason


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("This video has been removed by its uploader", "gone"),
        ("The video was deleted", "gone"),
        ("This account is private", "gone"),
        ("This post is no longer available", "gone"),
        ("This video is not available in your country", "refused"),
        ("not available from your location due to geo restriction", "refused"),
        ("This post may not be comfortable for some audiences. Log in for access", "refused"),
        ("No video formats found!", "refused"),
        ("Did not get any data blocks", "refused"),
        ("This video is DRM protected", "broken"),
        ("Requested format is not available", "broken"),
        ("The extracted extension ('exe') is unusual and will be skipped", "broken"),
        ("Unable to solve JS challenge", "failed"),
        ("Unable to download webpage: timed out", "failed"),
    ],
)
def test_yt_dlps_words_are_understood(
    get: Get, tiktok: Callable[..., str], monkeypatch: pytest.MonkeyPatch, said: str, kind: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ExtractorError(said, expected=True)

    monkeypatch.setattr(TikTokBaseIE, "_extract_web_data_and_status", fail)
    found, reason = failure(get, tiktok(0), extractors=TIKTOK)
    assert (found, reason) == (kind, said[:160])


def test_only_the_last_answer_of_a_server_counts(
    get: Get, host: WebHost, monkeypatch: pytest.MonkeyPatch, tiktok: Callable[..., str]
) -> None:
    """A picture that is not there says nothing of the video."""
    link = tiktok(10204)
    missing = f"{host.endpoint}/missing"
    real = TikTokBaseIE._extract_web_data_and_status

    def with_extra(self: TikTokBaseIE, *args: object, **kwargs: object) -> object:
        self._download_webpage(missing, None, fatal=False)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(TikTokBaseIE, "_extract_web_data_and_status", with_extra)
    kind, reason = failure(get, link, extractors=TIKTOK)
    assert "/missing" in host.asked
    assert (kind, reason) == ("refused", "Your IP address is blocked from accessing this post")
