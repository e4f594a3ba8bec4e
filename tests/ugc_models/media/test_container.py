"""What is opened, and what is not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import av
import av.error
import pytest

from tests.support.clips import write_clip, write_song
from ugc_models.media.clip import read_clip
from ugc_models.media.limits import Limits, MediaError, OutOfMemoryError


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", seconds=0.4, audio=None)


def refused(path: str | Path) -> str:
    with pytest.raises(MediaError) as caught:
        read_clip(path)
    reason = str(caught.value)
    assert "\n" not in reason and len(reason) < 120
    assert str(path) not in reason
    return reason


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.mp4") == "the file does not exist"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert refused(tmp_path / "a.mp4") == "the file is empty"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == "it is a directory, not a video file"


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    assert refused(tmp_path / "a.mp4") == "it is not a regular file"


def test_a_device_is_refused() -> None:
    assert refused("/dev/zero") == "it is not a regular file"


def test_a_name_with_a_zero_byte_is_refused() -> None:
    assert refused("a\0b.mp4") == "the file cannot be opened"


@pytest.mark.parametrize(
    "name",
    ["-", "http://127.0.0.1:9/a.mp4", "concat:clip.mp4|clip.mp4", "file:clip.mp4", "pipe:0"],
)
def test_a_name_that_libav_takes_for_a_protocol_is_only_a_name(
    name: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    with av.open("file:clip.mp4"):
        pass  # libav does take it for one
    assert refused(name) == "the file does not exist"


def test_a_file_whose_name_looks_like_a_protocol_is_read(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    clip.rename("data:clip.mp4")
    assert len(read_clip("data:clip.mp4").frames) == 10


def test_a_link_to_a_clip_is_followed(clip: Path) -> None:
    link = clip.with_name("link.mp4")
    link.symlink_to(clip)
    assert len(read_clip(link).frames) == 10


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert refused(tmp_path / "a") == "the file cannot be opened"


@pytest.mark.parametrize(
    "script",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile clip.mp4\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "just some words, more than a few of them, over and over\n" * 100,
    ],
    ids=["HLS", "concat", "DASH", "SDP", "text"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_a_script_that_names_other_files_is_no_video(script: str, suffix: str, clip: Path) -> None:
    path = clip.with_name(f"script{suffix}")
    path.write_text(script)
    assert refused(path).startswith("not a video")


def test_libav_itself_would_have_followed_such_a_script(clip: Path) -> None:
    path = clip.with_name("list.txt")
    path.write_text("ffconcat version 1.0\nfile clip.mp4\n")
    with av.open(str(path)) as container:
        assert container.streams.video


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_still_picture_is_no_video(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"still{suffix}"
    av.VideoFrame(64, 64, "rgb24").save(str(path))
    assert refused(path).startswith("not a video")


def test_a_song_with_a_cover_has_no_picture(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.m4a")
    with av.open(str(path)) as container:
        assert container.streams.video
    assert refused(path) == "no picture: the file has no video track"


def test_an_mp3_with_a_cover_is_no_video(tmp_path: Path) -> None:
    assert refused(write_song(tmp_path / "song.mp3")).startswith("not a video")


def test_a_file_that_may_not_be_read_is_refused(clip: Path) -> None:
    clip.chmod(0)
    if os.access(clip, os.R_OK):
        pytest.skip("this user may read everything")
    assert refused(clip) == "the file may not be read by this user"


def test_libav_is_told_what_it_may_open_and_how_long_a_read_may_take(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of it is also so by default, in the libav of today."""
    told: list[dict[str, Any]] = []
    open_ = av.open

    def noting(*arguments: Any, **options: Any) -> Any:
        told.append(options)
        return open_(*arguments, **options)

    monkeypatch.setattr(av, "open", noting)
    read_clip(clip, limits=Limits(decode_seconds=50))
    assert told
    for options in told:
        assert 0 < options["timeout"] <= 50
        may = options["container_options"]
        assert (may["protocol_whitelist"], may["enable_drefs"]) == ("file", "0")
        formats = {"mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg"}
        assert set(may["format_whitelist"].split(",")) == formats


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (100, "timed out: a read from the file did not come back"),
        (1e-6, "timed out: reading it took more than 1e-06 s"),
    ],
)
def test_a_read_that_does_not_come_back_is_given_up(
    clip: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    def hanging(*_: object, **__: object) -> None:
        raise av.error.ExitError(0, "Immediate exit requested")

    monkeypatch.setattr(av, "open", hanging)
    with pytest.raises(MediaError, match=f"^{said}$"):
        read_clip(clip, limits=Limits(decode_seconds=seconds))


def test_words_in_a_file_that_are_not_unicode_do_no_harm(clip: Path) -> None:
    path = clip.with_name("titled.mkv")
    with av.open(str(clip)) as source, av.open(str(path), "w") as titled:
        titled.metadata["title"] = "A TITLE OF WORDS"
        track = titled.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                titled.mux(packet)
    data = path.read_bytes()
    assert data.count(b"A TITLE OF WORDS") == 1
    path.write_bytes(data.replace(b"A TITLE OF WORDS", b"\xff TITLE OF \xfeORDS"))
    assert len(read_clip(path).frames) == 10


def test_a_lack_of_memory_is_not_taken_for_damage(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libav's own lack of it is an error of libav's like any other."""

    def lacking(*_: object, **__: object) -> None:
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(av, "open", lacking)
    with pytest.raises(OutOfMemoryError, match=r"^too large: there is not enough memory"):
        read_clip(clip)


def test_a_lack_of_memory_for_the_sound_is_not_a_clip_without_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caption would stand for the clip as if there were nothing to hear."""

    def lacking(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ugc_models.media.sound.mono", lacking)
    clip = write_clip(tmp_path / "a.mp4", seconds=0.4)
    with pytest.raises(OutOfMemoryError):
        read_clip(clip)
    assert len(read_clip(clip, sound=False).frames) > 1
