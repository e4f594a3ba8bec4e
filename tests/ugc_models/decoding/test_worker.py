"""A clip arrives as it was sent, or it is said that none came: whatever the sender wrote."""

from __future__ import annotations

import json
from dataclasses import fields
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from ugc_models.decoding.worker import BrokenMessage, receive, send, send_error
from ugc_models.media.clip import Clip
from ugc_models.media.limits import MediaError


def clip(sound: int | None = 5, **more: Any) -> Clip:
    values: dict[str, Any] = {
        "frames": np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3),
        "times": np.array([0.0, 0.5]),
        "fps": 2.0,
        "sound": None if sound is None else np.linspace(-1, 1, sound, dtype=np.float32),
        "sound_missing": "no audio track" if sound is None else None,
        "duration": 1.0,
        "decode_errors": 0,
        "lost_seconds": 0.25,
    }
    return Clip(**values | more)


def sent(what: Clip) -> bytes:
    to = BytesIO()
    send(what, to)
    return to.getvalue()


def line(**changed: Any) -> bytes:
    """Return what a clip is sent as, with the first line changed."""
    head, _, arrays = sent(clip()).partition(b"\n")
    message = json.loads(head)
    message["clip"] |= changed
    return json.dumps(message).encode() + b"\n" + arrays


@pytest.mark.parametrize("sound", [None, 0, 5, 4_800_000])
def test_a_clip_arrives_as_it_was_sent(sound: int | None) -> None:
    was = clip(sound)
    came = receive(BytesIO(sent(was)))
    for field in fields(Clip):
        before, after = getattr(was, field.name), getattr(came, field.name)
        if isinstance(before, np.ndarray):
            assert np.array_equal(before, after) and before.dtype == after.dtype
        else:
            assert (before, type(before)) == (after, type(after))


def test_arrays_that_lie_otherwise_in_memory_arrive_too() -> None:
    turned = clip().frames[:, :, ::-1]
    came = receive(BytesIO(sent(clip(frames=turned, times=np.array([0, 1], np.float32)))))
    assert np.array_equal(came.frames, turned)
    assert came.times.tolist() == [0.0, 1.0]


def test_two_clips_follow_each_other() -> None:
    source = BytesIO(sent(clip()) + sent(clip(None)))
    assert [receive(source).sound is None for _ in range(2)] == [False, True]


def test_a_reason_arrives_at_once() -> None:
    class Watched(BytesIO):
        flushed = b""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    to = Watched()
    send_error(MediaError("not a video\nat all"), to)
    with pytest.raises(MediaError, match=r"^not a video\nat all$"):
        receive(BytesIO(to.flushed))


def test_one_that_ends_in_the_middle_is_none() -> None:
    whole = sent(clip())
    for length in range(len(whole)):
        with pytest.raises(BrokenMessage):
            receive(BytesIO(whole[:length]))


def test_a_reason_that_ends_in_the_middle_is_none() -> None:
    to = BytesIO()
    send_error(MediaError("not a video"), to)
    for length in range(len(to.getvalue())):
        with pytest.raises(BrokenMessage):
            receive(BytesIO(to.getvalue()[:length]))


@pytest.mark.parametrize(
    "junk",
    [
        *(b"\n", b"clip\n", b"5\n", b"null\n", b'"error"\n', b"[]\n", b"{}\n", b"\xff\n"),
        *(b'{"clip": 5}\n', b'{"clip": {}}\n', b'{"clip": []}\n', b"[" * 60_000 + b"\n"),
        *(line(frames=[2, 4, -6, 3]), line(frames=[2.0, 4, 6, 3]), line(frames="2463")),
        *(line(frames=5), line(times=[[2]]), line(times=[10**30, 0]), line(times=[1] * 100)),
        line(colour="red"),
        b'{"error": 5\n',
    ],
)
def test_junk_is_none(junk: bytes) -> None:
    with pytest.raises(BrokenMessage):
        receive(BytesIO(junk))


@pytest.mark.parametrize("frames", [[1 << 31, 1, 1, 1], [(2 << 30) + 1], [1 << 40, 1 << 40]])
def test_one_that_claims_to_be_larger_than_any_clip_takes_no_memory(frames: list[int]) -> None:
    with pytest.raises(BrokenMessage, match=r"too large|the sender ended"):
        receive(BytesIO(line(frames=frames)))


def test_more_than_two_gibibytes_of_an_array_are_refused_unread() -> None:
    source = BytesIO(line(times=[(1 << 28) + 1]))
    with pytest.raises(BrokenMessage, match="too large"):
        receive(source)


def test_a_first_line_without_end_is_not_read_to_its_end() -> None:
    source = BytesIO(b'{"clip": "' + b"x" * 10_000_000)
    with pytest.raises(BrokenMessage):
        receive(source)
    assert source.tell() < 100_000
