"""Sound against resampling the whole signal at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import soxr

from tests.support.clips import write_clip
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.limits import Limits
from ugc_models.media.sound import mono

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOUNDS: dict[str, tuple[str, dict[str, Any]]] = {
    "AAC stereo": ("a.mp4", {}),
    "AAC mono at 16 kHz": ("a.mp4", {"audio": "mono", "audio_rate": 16_000}),
    "AAC 5.1 at 48 kHz": ("a.mp4", {"audio": "5.1", "audio_rate": 48_000}),
    "AAC at 8 kHz": ("a.mp4", {"audio": "mono", "audio_rate": 8_000}),
    "shorter than the picture": ("a.mp4", {"audio_seconds": 1.1}),
    "longer than the picture": ("a.mp4", {"audio_seconds": 3.7}),
    "fragments": ("a.mp4", {"fragmented": True}),
    "16-bit PCM": ("a.mov", {"audio_codec": "pcm_s16le", "audio_rate": 22_050}),
    "float PCM": ("a.mkv", {"audio_codec": "pcm_f32le"}),
    "MP3": ("a.avi", {"codec": "mpeg4", "audio_codec": "libmp3lame"}),
    "Opus": ("a.mkv", {"audio_codec": "libopus", "audio_rate": 48_000}),
}


def whole_sound(path: Path) -> np.ndarray:
    """What librosa.load(path, sr=16000, mono=True) computes, from all samples at once."""
    blocks = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            if samples.dtype == np.int16:
                samples = samples.astype(np.float32) / 32768
            if not frame.format.is_planar:
                samples = samples.reshape(-1, frame.layout.nb_channels).T
            blocks.append(samples)
            rate = frame.sample_rate
    signal = np.mean(np.concatenate(blocks, axis=1), axis=0)
    length = int(np.ceil(signal.size * 16_000 / rate))
    if rate != 16_000:
        signal = soxr.resample(signal, rate, 16_000, "HQ")
    return np.pad(signal[:length], (0, max(0, length - signal.size)))


@pytest.mark.parametrize("name", SOUNDS)
def test_the_sound_is_that_of_the_whole_signal_resampled_at_once(name: str, tmp_path: Path) -> None:
    file, settings = SOUNDS[name]
    path = write_clip(tmp_path / file, seconds=2.0, **settings)
    clip = read_clip(path)
    # Matroska and FLV say when the encoder's own delay begins, before the picture.
    expected = whole_sound(path)[round(-16_000 * min(clip.sound_offset or 0, 0)) :]
    assert clip.sound is not None and clip.sound_missing is None
    assert abs(clip.sound_offset or 0) < 0.03 and clip.sound_gaps == 0
    assert clip.sound.shape == expected.shape
    assert np.abs(expected).max() > 0.05
    assert np.abs(clip.sound - expected).max() < 1e-6


PCM: dict[str, Any] = {"audio": "mono", "audio_rate": 16_000, "audio_codec": "pcm_s16le"}
"""Sound of which every sample is known: nothing is resampled, packets last 64 ms or less, and one
begins at each full second."""


def both_ways(path: Path, **settings: Any) -> tuple[Clip, NDArray[np.float32], NDArray[np.float32]]:
    """Write a clip; return it, its sound on the picture's clock, and that as the track has it."""
    write_clip(path, **settings)
    clip, left = read_clip(path), read_clip(path, align_sound=False)
    assert clip.sound is not None and left.sound is not None
    assert left.sound_offset == clip.sound_offset
    assert left.sound_gaps == pytest.approx(clip.sound_gaps, abs=2e-3)
    return clip, clip.sound, left.sound


@pytest.mark.parametrize("file", ["a.mkv", "a.mov"])
@pytest.mark.parametrize("late", [0.004, 0.5, 1.003, 1.5])
def test_a_track_that_starts_late_is_heard_late(file: str, late: float, tmp_path: Path) -> None:
    clip, sound, track = both_ways(
        tmp_path / file, seconds=2.0, audio_seconds=0.5, audio_later=lambda _: late, **PCM
    )
    assert np.array_equal(sound, np.concatenate([np.zeros(round(late * 16_000)), track]))
    assert len(track) == 8000 and np.abs(track).max() > 0.05
    assert clip.sound_offset == pytest.approx(late) and clip.sound_gaps == 0


def test_sound_before_a_picture_that_starts_late_is_cut(tmp_path: Path) -> None:
    times = [0.9 + k / 25 for k in range(50)]
    clip, sound, track = both_ways(tmp_path / "a.mkv", times=times, audio_seconds=2.5, **PCM)
    assert np.array_equal(sound, track[14_400:])
    assert clip.sound_offset == pytest.approx(-0.9)
    assert clip.times[0] == 0


def test_a_pause_of_the_track_is_silence(tmp_path: Path) -> None:
    clip, sound, track = both_ways(
        tmp_path / "a.mkv",
        seconds=5.0,
        audio_seconds=2.5,
        audio_later=lambda at: 2.0 if at >= 1.0 else 0.0,
        **PCM,
    )
    parts = track[:16_000], np.zeros(32_000), track[16_000:]
    assert np.array_equal(sound, np.concatenate(parts))
    assert clip.sound_gaps == pytest.approx(2.0) and clip.sound_offset == 0


def test_sound_that_comes_twice_is_heard_once(tmp_path: Path) -> None:
    """A packet that says it begins 50 ms before the one before it ends."""
    clip, sound, track = both_ways(
        tmp_path / "a.mkv",
        seconds=3.0,
        audio_later=lambda at: -0.05 if at >= 1.06 else 0.0,
        **PCM,
    )
    assert np.array_equal(sound, np.concatenate([track[:17_024], track[17_024 + 800 :]]))
    assert clip.sound_gaps == 0


@pytest.mark.parametrize("millisecond", [0, 1])
def test_rounded_and_late_read_times_make_no_gaps(millisecond: int, tmp_path: Path) -> None:
    jitter = [0.0, 0.012, -0.009, 0.015, 0.001]
    clip, sound, track = both_ways(
        tmp_path / "a.mkv",
        seconds=3.0,
        audio_later=lambda at: millisecond * 1e-3 + jitter[round(at / 0.064) % 5],
        **PCM,
    )
    assert np.array_equal(sound, track)
    assert clip.sound_offset == 0 and clip.sound_gaps == 0


@pytest.mark.parametrize("drift", [0.005, -0.005])
def test_a_clock_that_drifts_is_followed(drift: float, tmp_path: Path) -> None:
    """Half a percent is 100 ms after 20 s; no sample is ever further off than 21 ms."""
    clip, sound, track = both_ways(
        tmp_path / "a.mkv", fps=5, seconds=20.0, audio_later=lambda at: drift * at, **PCM
    )
    assert len(sound) / 16_000 == pytest.approx(20.0 * (1 + drift), abs=0.021)
    assert len(track) == 320_000
    for second in (5, 10, 15):
        place = round(second * (1 + drift) * 16_000)
        near = sound[place - 336 : place + 8000 + 336]
        heard = np.correlate(near, track[second * 16_000 :][:4000])
        assert heard.max() > 0.9 * (track[second * 16_000 :][:4000] ** 2).sum()
    assert (clip.sound_gaps > 0) == (drift > 0)


def test_sound_that_lies_outside_the_picture_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for name, later in (("before.mkv", 0.0), ("after.mkv", 40.0)):
        times = [5.0 + k / 25 for k in range(25)]
        path = write_clip(
            tmp_path / name, times=times, audio_seconds=1.0, audio_later=lambda _, x=later: x, **PCM
        )
        clip = read_clip(path)
        assert clip.sound is None and clip.sound_offset is None
        assert clip.sound_missing == "the audio track lies outside the time of the picture"
        assert read_clip(path, align_sound=False).sound is not None


@pytest.mark.parametrize("ahead", [30.0, 1e5, 1e12])
def test_a_time_far_ahead_takes_no_memory(ahead: float, tmp_path: Path) -> None:
    """What comes a second after the picture or later is not on its clock."""
    clip, sound, track = both_ways(
        tmp_path / "a.mkv",
        seconds=2.0,
        audio_seconds=4.0,
        audio_later=lambda at: ahead if at >= 1.0 else 0.0,
        **PCM,
    )
    assert np.array_equal(sound, track[:16_000])
    assert clip.duration == pytest.approx(2.0)


@pytest.mark.parametrize(("late", "heard"), [(1.9, True), (2.1, False)])
def test_sound_may_begin_up_to_a_second_after_the_picture(
    late: float, heard: bool, tmp_path: Path
) -> None:
    clip = read_clip(
        write_clip(
            tmp_path / "a.mkv", seconds=1.0, audio_seconds=0.5, audio_later=lambda _: late, **PCM
        )
    )
    assert (clip.sound is not None) == heard
    assert clip.sound is None or len(clip.sound) == round((late + 0.5) * 16_000)


def test_a_still_picture_does_not_bound_its_sound(tmp_path: Path) -> None:
    _, sound, track = both_ways(
        tmp_path / "a.mkv",
        times=[0.0],
        audio_seconds=3.0,
        audio_later=lambda at: 5.0 if at >= 1.0 else 0.0,
        **PCM,
    )
    assert len(sound) == len(track) + 80_000


def test_silence_counts_towards_the_limit_of_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", seconds=3.0, audio_later=lambda _: 0.5, **PCM)
    cut = read_clip(path, limits=Limits(sound_seconds=0.75)).sound
    assert cut is not None and len(cut) == 12_000
    assert not cut[:8000].any() and cut[8000:].any()
    assert read_clip(path, limits=Limits(sound_seconds=0.25)).sound is None


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("a.mp4", {}),
        ("a.mp4", {"b_frames": 2}),
        ("a.mkv", {}),
        ("a.ts", {"b_frames": 2}),
        ("a.flv", {"codec": "flv"}),
        ("a.avi", {"codec": "mpeg4", "audio_codec": "libmp3lame"}),
        ("a.avi", {"b_frames": 2, "audio_codec": "libmp3lame"}),
        ("a.wmv", {"codec": "wmv2", "audio_codec": "wmav2"}),
        ("a.webm", {"codec": "libvpx", "audio_codec": "libopus", "audio_rate": 48_000}),
    ],
)
def test_what_is_heard_and_seen_at_once_is_so_in_every_container(
    file: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    """The tone sets in with the picture; encoders' delays are told by most containers."""
    clip = read_clip(write_clip(tmp_path / file, seconds=2.0, **settings))
    assert clip.sound is not None and clip.sound_gaps == 0
    begins = np.flatnonzero(np.abs(clip.sound) > 0.05)[0] / 16_000
    assert begins < 0.05


def test_the_picture_of_an_avi_appears_before_the_decoder_gives_it_out(tmp_path: Path) -> None:
    """AVI has times of decoding only, and B-frames are held back by as many frames."""
    for b_frames in (0, 2):
        path = tmp_path / "a.avi"
        clip = read_clip(write_clip(path, seconds=2.0, b_frames=b_frames, **PCM))
        assert clip.sound_offset == pytest.approx(0.0, abs=0.02)


def test_pcm_keeps_its_level_and_channels_are_averaged(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"audio_codec": "pcm_s16le", "audio_rate": 16_000, "seconds": 0.5}
    one = read_clip(write_clip(tmp_path / "1.mov", audio="mono", **settings)).sound
    two = read_clip(write_clip(tmp_path / "2.mov", audio="stereo", **settings)).sound
    assert one is not None and two is not None
    assert two == pytest.approx(one * (1 + 0.25) / 2, abs=1 / 32768)


@pytest.mark.parametrize(
    ("kind", "levels", "expected"),
    [
        ("u8", np.array([0, 64, 128, 192, 255], np.uint8), [-1, -0.5, 0, 0.5, 127 / 128]),
        ("s16", np.array([-32768, 0, 16384], np.int16), [-1, 0, 0.5]),
        ("s32", np.array([-(1 << 31), 0, 1 << 30], np.int32), [-1, 0, 0.5]),
        ("flt", np.array([-1.5, 0, 0.5], np.float32), [-1.5, 0, 0.5]),
    ],
)
@pytest.mark.parametrize("planar", ["", "p"])
def test_levels_of_every_size_lie_around_zero(
    kind: str, levels: NDArray[Any], expected: list[float], planar: str
) -> None:
    block = av.AudioFrame.from_ndarray(levels[None], kind + planar, "mono")
    assert mono(block).tolist() == expected


def test_sound_is_cut_at_the_limit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=2.0)
    cut = read_clip(path, limits=Limits(sound_seconds=0.75)).sound
    whole = read_clip(path).sound
    assert cut is not None and whole is not None
    assert len(cut) == 12_000
    assert np.array_equal(cut, whole[:12_000])


def test_a_rate_that_changes_midway_keeps_time(tmp_path: Path) -> None:
    both = tmp_path / "both.ts"
    parts = [
        write_clip(tmp_path / f"{rate}.ts", seconds=1.0, audio_rate=rate, audio="mono")
        for rate in (44_100, 48_000)
    ]
    with (
        av.open(str(parts[0])) as first,
        av.open(str(parts[1])) as second,
        av.open(str(both), "w") as out,
    ):
        tracks = [out.add_stream_from_template(stream) for stream in first.streams]
        ends = [packet.pts + packet.duration for packet in first.demux(audio=0) if packet.size]
        begins = first.streams.audio[0].start_time
        first.seek(0)
        length = float((ends[-1] - begins) * first.streams.audio[0].time_base)
        for source, later in ((first, 0.0), (second, length)):
            for packet in source.demux():
                if packet.pts is not None and packet.dts is not None:
                    ticks = round(later / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    packet.stream = tracks[packet.stream.index]
                    out.mux(packet)
    whole = read_clip(both)
    assert whole.sound_gaps == 0
    joined = whole.sound
    alone = [read_clip(part).sound for part in parts]
    assert joined is not None and alone[0] is not None and alone[1] is not None
    both_ways = joined, read_clip(both, align_sound=False).sound
    assert [None if each is None else len(each) for each in both_ways] == pytest.approx(
        [len(alone[0]) + len(alone[1])] * 2, abs=1024
    )
    assert np.array_equal(joined[: len(alone[0]) - 2000], alone[0][:-2000])


@pytest.mark.parametrize("rate", [1_000, 4_000, 192_000, 768_000])
def test_sound_of_unusual_rates_is_heard_at_its_length(rate: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", seconds=1.0, **PCM | {"audio_rate": rate})
    sound = read_clip(path).sound
    assert sound is not None and len(sound) == 16_000


@pytest.mark.parametrize("rate", [990, 769_000])
def test_rates_that_no_recording_has_are_left_out(rate: int, tmp_path: Path) -> None:
    """What resampling takes in memory and time grows with them."""
    clip = read_clip(write_clip(tmp_path / "a.mkv", seconds=0.5, **PCM | {"audio_rate": rate}))
    assert clip.sound_missing == f"audio undecodable: a sample rate of {rate} Hz"


@pytest.mark.parametrize(("seconds", "heard"), [(0.1, True), (0.0995, False)])
def test_a_tenth_of_a_second_is_enough(seconds: float, heard: bool, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mov", seconds=0.4, audio_seconds=seconds, **PCM)
    clip = read_clip(path)
    assert (clip.sound is not None) == heard
    assert clip.sound_missing == (None if heard else "audio track shorter than 0.1 s")


@pytest.mark.parametrize(
    ("file", "settings", "reason"),
    [
        ("a.mp4", {"audio": None}, "no audio track"),
        ("a.mp4", {"audio_seconds": 0.04}, "audio track shorter than 0.1 s"),
        (
            "a.mkv",
            {"audio_codec": "pcm_f32le", "loudness": float("nan")},
            "audio not finite, or louder than any sound",
        ),
        (
            "a.mkv",  # in places alone, where it overflows
            {"audio_codec": "pcm_f32le", "loudness": 3e38, "audio_rate": 16_000},
            "audio not finite, or louder than any sound",
        ),
    ],
)
def test_sound_that_cannot_be_used_is_left_out_with_the_reason(
    file: str, settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    clip = read_clip(write_clip(tmp_path / file, seconds=0.4, **settings))
    assert clip.sound is None
    assert clip.sound_missing == reason
    assert len(clip.frames) == 10


def test_a_sound_track_of_junk_is_left_out_and_the_picture_stays(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=1.0)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.size and packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    clip = read_clip(path)
    assert clip.sound is None
    assert clip.sound_missing == "audio undecodable: damaged data"
    assert len(clip.frames) == 25 and clip.decode_errors == 0


def test_a_codec_nobody_knows_is_left_out_and_the_picture_stays(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", seconds=1.0)
    data = path.read_bytes()
    assert data.count(b"A_AAC") == 1
    path.write_bytes(data.replace(b"A_AAC", b"A_ZZZ"))
    clip = read_clip(path)
    assert clip.sound is None
    assert clip.sound_missing == "audio undecodable: its codec is not known here"
    assert len(clip.frames) == 25


def test_sound_that_was_not_asked_for_is_not_read(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "a.mp4", seconds=0.4), sound=False)
    assert clip.sound is None and clip.sound_missing == "not asked for"
