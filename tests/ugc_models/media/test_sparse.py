"""The frames are those of a full decode, byte for byte, however little of a file is decoded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import pytest
from av.error import FFmpegError
from hypothesis import given
from hypothesis import strategies as st

from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.limits import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.scale import Scaler
from ugc_models.media.sparse import PacketIndex, PacketReader, Step

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

WIDTH, HEIGHT, COUNT, RATE = 96, 64, 90, 30
SAMPLINGS = (
    Sampling(frames=4),
    Sampling(frames=13),
    Sampling(fps=1.0),
    Sampling(fps=7.0),
)

X264 = {"preset": "veryfast", "x264-params": "log-level=-1:ref=3:"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:min-keyint=5:"}
VPX = {"deadline": "realtime", "cpu-used": "8"}
FAST = {
    "libvpx": VPX,
    "libvpx-vp9": VPX,
    "libaom-av1": {"usage": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "10", "svtav1-params": "lp=1"},
}


@dataclass(frozen=True)
class Encode:
    """How a clip is stored."""

    codec: str
    parameters: str = ""
    """Of x264 or x265."""
    suffix: str = "mp4"
    options: dict[str, str] = field(default_factory=dict)
    times: tuple[float, ...] = tuple(at / RATE for at in range(COUNT))
    """Seconds at which its frames are shown; those below 0 are cut off by an edit list."""


SLOWER_AND_FASTER = tuple(at / 60 if at < 30 else 0.5 + (at - 30) / 12 for at in range(COUNT))
FROM_A_SECOND_BEFORE = tuple((at - 24.5) / RATE for at in range(COUNT))
ENCODES = {
    "one group": Encode("libx264", "bframes=0:keyint=250"),
    "short groups": Encode("libx264", "bframes=0:keyint=12"),
    "B-frames": Encode("libx264", "bframes=3:b-pyramid=none:keyint=40"),
    "B-pyramid": Encode("libx264", "bframes=5:b-pyramid=normal:keyint=40"),
    "strict B-pyramid": Encode("libx264", "bframes=5:b-pyramid=strict:keyint=250", "mkv"),
    "many B-frames": Encode("libx264", "bframes=16:b-adapt=0:keyint=60"),
    "in MPEG-TS": Encode("libx264", "bframes=3:b-pyramid=normal:keyint=30", "ts"),
    "in FLV": Encode("libx264", "bframes=2:keyint=30", "flv"),
    "in QuickTime": Encode("libx264", "bframes=3:keyint=30", "mov"),
    "fragments": Encode(
        "libx264", "bframes=3:keyint=30", options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "open groups": Encode("libx264", "bframes=3:open-gop=1:keyint=12"),
    "open groups in MPEG-TS": Encode("libx264", "bframes=3:open-gop=1:keyint=25", "ts"),
    "intra refresh": Encode("libx264", "intra-refresh=1:keyint=20", "ts"),
    "intra refresh, B-frames": Encode("libx264", "intra-refresh=1:bframes=3:keyint=20"),
    "slices": Encode("libx264", "bframes=2:slices=4:keyint=30:weightp=2"),
    "interlaced": Encode("libx264", "interlaced=1:bframes=2:keyint=30"),
    "interlaced in MPEG-TS": Encode("libx264", "tff=1:bframes=3:keyint=30", "ts"),
    "temporal prediction": Encode("libx264", "bframes=3:direct=temporal:keyint=40"),
    "lossless": Encode("libx264", "qp=0:bframes=3:keyint=40"),
    "variable rate": Encode("libx264", "bframes=3:keyint=40", times=SLOWER_AND_FASTER),
    "variable rate in Matroska": Encode("libx264", "bframes=3", "mkv", times=SLOWER_AND_FASTER),
    "edit list": Encode("libx264", "bframes=3:keyint=30", times=FROM_A_SECOND_BEFORE),
    "edit list, open groups": Encode(
        "libx264", "bframes=3:open-gop=1:keyint=12", times=FROM_A_SECOND_BEFORE
    ),
    "OpenH264": Encode("libopenh264"),
    "HEVC": Encode("libx265", "bframes=4:open-gop=0:keyint=20"),
    "HEVC, short groups": Encode("libx265", "bframes=0:open-gop=0:keyint=12"),
    "HEVC, B-pyramid": Encode("libx265", "bframes=8:b-adapt=0:rc-lookahead=20:keyint=90"),
    "HEVC, open groups": Encode("libx265", "bframes=4:open-gop=1:keyint=20"),
    "HEVC, open groups in MPEG-TS": Encode("libx265", "bframes=4:open-gop=1:keyint=20", "ts"),
    "HEVC, intra refresh": Encode("libx265", "bframes=0:intra-refresh=1:keyint=20"),
    "HEVC, leading pictures": Encode("libx265", "bframes=4:open-gop=0:radl=2:keyint=20", "mkv"),
    "HEVC, layers": Encode("libx265", "bframes=4:temporal-layers=3:keyint=40"),
    "HEVC, layers in MPEG-TS": Encode("libx265", "bframes=4:temporal-layers=3:keyint=40", "ts"),
    "HEVC, fields": Encode("libx265", "interlace=tff:bframes=3:keyint=20"),
    "HEVC, edit list": Encode("libx265", "bframes=4:keyint=20", times=FROM_A_SECOND_BEFORE),
    "HEVC, variable rate": Encode("libx265", "bframes=4:keyint=30", times=SLOWER_AND_FASTER),
    "VP8": Encode("libvpx", suffix="webm"),
    "VP9": Encode("libvpx-vp9", suffix="webm"),
    "VP9 in MP4": Encode("libvpx-vp9"),
    "AV1": Encode("libsvtav1"),
    "AV1 by another encoder": Encode("libaom-av1", suffix="mkv"),
    "AV1, edit list": Encode("libsvtav1", times=FROM_A_SECOND_BEFORE),
    "MPEG-4": Encode("mpeg4"),
    "MPEG-4 in AVI": Encode("mpeg4", suffix="avi"),
    "MPEG-2": Encode("mpeg2video", suffix="ts"),
    "WMV": Encode("wmv2", suffix="asf"),
}


def encode(path: Path, how: Encode, seed: int = 0) -> Path:
    """Write a noisy clip with a cut in the middle, so that every kind of block and frame occurs."""
    noise = np.random.default_rng(seed)
    scenes = noise.integers(16, 235, (2, HEIGHT + COUNT, WIDTH + COUNT), dtype=np.uint8)
    tick = Fraction(1, 600)
    with av.open(str(path), "w", container_options=how.options) as container:
        stream = cast("VideoStream", container.add_stream(how.codec, rate=RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        context = stream.codec_context
        context.time_base = tick
        if how.codec == "libx264":
            context.options = X264 | {"x264-params": X264["x264-params"] + how.parameters}
        elif how.codec == "libx265":
            context.options = X265 | {"x265-params": X265["x265-params"] + how.parameters}
        else:
            context.gop_size = 20
            context.options = FAST.get(how.codec, {})
            context.max_b_frames = 2 if how.codec.startswith("mpeg") else 0
            if how.codec in ("mpeg4", "mpeg2video"):  # they know some rates only
                tick = context.time_base = Fraction(1, RATE)
        for index, at in enumerate(how.times):
            scene = scenes[int(index > COUNT // 2)]
            light = scene[index // 2 : index // 2 + HEIGHT, index : index + WIDTH]
            tint = np.full((HEIGHT // 2, WIDTH), 100 + index // 2, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate([light, tint]), format="yuv420p")
            frame.pts, frame.time_base = round(at / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def everything_in(path: Path) -> dict[float, NDArray[np.uint8]]:
    """Decode the whole file with PyAV alone, over all damage; its frames, scaled, by seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # what is concealed depends on it
        scale = Scaler(Sampling(), stream.sample_aspect_ratio)
        shown: dict[float, NDArray[np.uint8]] = {}
        for frame in decoded(stream, container.demux(stream)):
            at = float(frame.time) if frame.time is not None else len(shown) / RATE
            shown.setdefault(at, scale(frame))
        return {at - min(shown): frame for at, frame in shown.items()}


def decoded(stream: VideoStream, packets: Iterator[Packet]) -> Iterator[VideoFrame]:
    for packet in packets:
        try:
            yield from stream.decode(packet)
        except FFmpegError:
            continue


def check_against(whole: dict[float, NDArray[np.uint8]], clip: Clip) -> None:
    """Every frame of the clip is that of the full decode at its time."""
    for frame, at in zip(clip.frames, clip.times, strict=True):
        near = min(whole, key=lambda each: abs(each - at))
        assert near == pytest.approx(at, abs=1e-6)
        assert np.array_equal(frame, whole[near]), f"the frame at {at} s"


def packets_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield where each of the picture's packets begins in the file, and its bytes."""
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.pos is not None and packet.size:
                yield packet.pos, bytes(packet)


@pytest.mark.parametrize("name", ENCODES)
def test_the_frames_are_those_of_a_full_decode(name: str, tmp_path: Path) -> None:
    how = ENCODES[name]
    path = encode(tmp_path / f"a.{how.suffix}", how)
    whole = everything_in(path)
    assert len(whole) == sum(at >= 0 for at in how.times)
    for sampling, threads in zip(SAMPLINGS, (1, 4, 1, 4), strict=True):
        clip = read_clip(path, sampling, sound=False, threads=threads)
        check_against(whole, clip)
        assert len(set(clip.times)) == len(clip.frames)
        assert clip.decode_errors == 0


def test_pictures_that_only_a_higher_layer_is_made_from_are_decoded(tmp_path: Path) -> None:
    """HEVC may mark a picture as needed by no other *of its layer*; a higher one may need it."""
    path = encode(tmp_path / "a.mp4", ENCODES["HEVC, layers"])
    data = bytearray(path.read_bytes())
    tsa_n, tsa_r, marked = 2, 3, 0
    for pos, packet in packets_of(path):
        if packet[4] >> 1 & 63 == tsa_r:  # behind the length of the packet's only unit
            data[pos + 4] = tsa_n << 1
            marked += 1
    assert marked > 10
    path.write_bytes(data)
    whole = everything_in(path)
    for sampling in SAMPLINGS:
        check_against(whole, read_clip(path, sampling, sound=False))


OTHER_UNITS = {
    "libx264": {each for each in range(128) if each & 31 > 5},
    "libx265": range(32 << 1, 64 << 1),
}
"""First bytes of units that are no slices of a picture."""


def slice_in(packet: bytes, how: Encode) -> int:
    """Return where the first slice of a picture begins, behind lengths and other units."""
    at = 4
    while packet[at] in OTHER_UNITS[how.codec]:
        at += int.from_bytes(packet[at - 4 : at], "big") + 4
    return at


def spoil(path: Path, numbers: set[int], how: Encode) -> None:
    """Overwrite the pictures of these packets, their length and first bytes left as they are."""
    data = bytearray(path.read_bytes())
    for number, (pos, packet) in enumerate(packets_of(path)):
        if number in numbers:
            start = slice_in(packet, how) + 3
            data[pos + start : pos + len(packet)] = b"\xa5" * (len(packet) - start)
    path.write_bytes(data)


def spare_pictures(path: Path, how: Encode) -> set[int]:
    """Return the packets of which none of four frames needs anything."""
    times = read_clip(path, Sampling(frames=4), sound=False).times
    with av.open(str(path)) as container:
        shown = [float(each.pts * each.time_base) for each in container.demux(video=0) if each.size]
    spare = {
        number
        for number, (_, packet) in enumerate(packets_of(path))
        for head in [packet[slice_in(packet, how)]]
        if (not head & 0x60 if how.codec == "libx264" else head in range(0, 20, 4))
        and not np.isclose(shown[number] - min(shown), times).any()
    }
    assert len(spare) > 10
    return spare


def test_of_interlaced_pictures_all_are_decoded(tmp_path: Path) -> None:
    """Half of one may look spare where its other half is wanted."""
    how = ENCODES["interlaced"]
    path = encode(tmp_path / "a.mp4", how)
    spoil(path, spare_pictures(path, how), how)
    assert read_clip(path, Sampling(frames=4), sound=False).decode_errors > 0


@pytest.mark.parametrize("name", ["B-frames", "B-pyramid", "HEVC", "HEVC, layers"])
def test_a_picture_that_no_other_is_made_from_is_not_decoded(name: str, tmp_path: Path) -> None:
    """Were it decoded, the damage to it would be found."""
    how = ENCODES[name]
    path = encode(tmp_path / "a.mp4", how)
    whole = everything_in(path)
    spoil(path, spare_pictures(path, how), how)
    clip = read_clip(path, Sampling(frames=4), sound=False)
    assert clip.decode_errors == 0
    check_against(whole, clip)
    everything = read_clip(path, Sampling(frames=COUNT), sound=False)
    assert everything.decode_errors > 0 or len(everything.frames) < COUNT


@pytest.mark.parametrize("name", ["short groups", "HEVC, short groups"])
def test_a_group_is_decoded_as_far_as_a_frame_of_it_is_wanted(name: str, tmp_path: Path) -> None:
    how = ENCODES[name]
    path = encode(tmp_path / "a.mp4", how)
    whole = everything_in(path)
    wanted = {round(at * RATE) for at in read_clip(path, Sampling(frames=4), sound=False).times}
    starts = [
        number
        for number, (_, packet) in enumerate(packets_of(path))
        if (packet[4] & 31 == 5 if how.codec == "libx264" else packet[4] >> 1 & 63 in (19, 20))
    ]
    tails: set[int] = set()
    for start, end in pairwise([*starts, COUNT]):  # without B-frames, order of the file
        tails |= {*range(max(wanted & {*range(start, end)}, default=start) + 1, end)}
    assert len(tails) > COUNT / 3
    spoil(path, tails, how)
    clip = read_clip(path, Sampling(frames=4), sound=False)
    assert clip.decode_errors == 0
    check_against(whole, clip)
    everything = read_clip(path, Sampling(frames=COUNT), sound=False)
    assert everything.decode_errors > 0 or len(everything.frames) < COUNT


@pytest.mark.parametrize("name", ["B-pyramid", "HEVC", "HEVC, open groups", "in MPEG-TS", "VP9"])
def test_a_damaged_file_gives_what_a_full_decode_gives(name: str, tmp_path: Path) -> None:
    """A full decode conceals damage with pictures that reading some frames may leave out."""
    how = ENCODES[name]
    path = encode(tmp_path / f"a.{how.suffix}", how)
    intact = path.read_bytes()
    read = 0
    for seed in (*range(12), 55):  # HEVC's 55 is concealed without a word, unless told otherwise
        choose = random.Random(seed)
        data = bytearray(intact)
        for _ in range(choose.choice([1, 2, 8])):
            at = choose.randrange(len(data) // 10, len(data) * 9 // 10)
            data[at : at + choose.choice([1, 1, 100])] = b"\xa5"
        path.write_bytes(data)
        whole = {}
        with suppress(FFmpegError):  # its header is damaged
            whole = everything_in(path)
        try:
            clip = read_clip(path, Sampling(frames=5), sound=False)
        except MediaError:
            assert not whole
        else:
            check_against(whole, clip)
            read += 1
    assert read > 3


def indexed(codec: str, *packets: bytes, **marks: Any) -> PacketIndex | None:
    """Return the index of a stream of such packets; ``marks`` are attributes of the last one."""
    stream = SimpleNamespace(codec_context=SimpleNamespace(name=codec, extradata=None))
    reader = PacketReader(cast("VideoStream", stream))
    for number, data in enumerate(packets):
        packet = av.Packet(data)
        packet.pts = number
        if number == len(packets) - 1:
            for name, value in marks.items():
                setattr(packet, name, value)
        reader.add(packet)
    return reader.index


IDR, REST, MORE = b"\0\0\1\x65\x88", b"\0\0\1\x65\x11", b"\0\0\1\x41\x9a"
"""Slices of H.264: the first of an IDR picture, a further one of it, the first of another picture.
"""
HEVC = {kind: b"\0\0\1" + bytes([kind << 1, 1, 0x80]) for kind in (1, 19, 20, 21)}


def test_decoding_can_start_at_idr_pictures_alone() -> None:
    for codec, packets in {
        "h264": (IDR + REST, MORE, b"\0\0\1\x06\x05" + IDR, IDR + MORE),
        "hevc": (HEVC[19], HEVC[1], HEVC[20], HEVC[21]),
    }.items():
        index = indexed(codec, *packets)
        assert index is not None
        assert index.starts == [0, 2]


@pytest.mark.parametrize(
    ("packet", "marks"),
    [
        pytest.param(REST, {}, id="the picture of the packet before goes on"),
        pytest.param(b"\0\0\1\x06\x05", {}, id="no picture"),
        pytest.param(b"", {}, id="nothing"),
        pytest.param(MORE * 2_001, {}, id="made to cost time"),
        pytest.param(MORE, {"pts": None}, id="no time"),
        pytest.param(MORE, {"is_corrupt": True}, id="damaged"),
    ],
)
def test_at_any_doubt_about_a_packet_no_picture_is_left_out(
    packet: bytes, marks: dict[str, Any]
) -> None:
    assert indexed("h264", IDR, MORE * 2_000) is not None
    assert indexed("h264", IDR, MORE, packet, **marks) is None


@dataclass(frozen=True)
class Stream:
    """An index, and for each packet those before it that its picture is made from."""

    index: PacketIndex
    needs: list[set[int]]


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Draw groups of an IDR picture, references and pictures that no other one is made from."""
    index, needs = PacketIndex(), list[set[int]]()
    tick = 0
    for _ in range(draw(st.integers(1, 5))):
        entry = len(needs)
        index.add(tick, idr=True)
        needs.append(set())
        tick += 1
        references = [entry]
        for _ in range(draw(st.integers(0, 6))):
            between = draw(st.integers(0, 2))
            reference = len(needs)
            index.add(tick + between, idr=False)
            needs.append({draw(st.sampled_from(references))})
            for shown in range(between):
                index.add(tick + shown, idr=False)
                needs.append({reference, draw(st.sampled_from(references))})
            references.append(reference)
            tick += between + 1
    return Stream(index, needs)


@given(streams(), st.data())
def test_every_wanted_picture_is_decoded_with_all_that_it_is_made_from(
    stream: Stream, data: st.DataObject
) -> None:
    ticks = data.draw(st.sets(st.sampled_from(list(stream.index.ticks)), min_size=1))
    made_from = set().union(*stream.needs)
    whole: set[int] = set()
    steps = stream.index.steps(ticks)
    for place, step in enumerate(steps):
        decoded = step == Step.DECODE or (step == Step.REFERENCE and place in made_from)
        if decoded and stream.needs[place] <= whole:
            whole.add(place)
    assert ticks <= {stream.index.ticks[place] for place in whole}
