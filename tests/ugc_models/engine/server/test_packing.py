"""What was packed for a server comes out of it bit by bit as it went in."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from ugc_models.engine.server.packing import pack, png, wav

SHAPES = [(2, 28, 28), (8, 420, 224), (32, 56, 84), (4, 30, 34), (2, 29, 31), (6, 252, 448)]


def noise(count: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """Return frames of every value, so that any rounding shows."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def loud(samples: int) -> np.ndarray[Any, Any]:
    """Return sound beyond -1 to 1, which integer samples would clip."""
    return np.random.default_rng(1).standard_normal(samples).astype(np.float32) * 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seconds", [None, 0.1, 7.3])
def test_frames_and_sound_are_those_that_were_sent(
    shape: tuple[int, int, int], seconds: float | None
) -> None:
    frames = noise(*shape)
    sound = None if seconds is None else loud(int(16_000 * seconds))
    with av.open(BytesIO(pack(frames, sound))) as container:
        got = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_array_equal(np.stack(got), frames)
    if sound is None:
        return
    with av.open(BytesIO(pack(frames, sound))) as container:
        assert container.streams.audio[0].rate == 16_000
        heard = [block.to_ndarray()[0] for block in container.decode(audio=0)]
    np.testing.assert_array_equal(np.concatenate(heard), sound)


@pytest.mark.engine
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("loader", "options"),
    [("opencv", {"num_frames": -1, "fps": -1}), ("qwen2_vl", {})],
    ids=["as asked", "by default"],
)
def test_vllms_own_loaders_keep_every_frame(
    shape: tuple[int, int, int], loader: str, options: dict[str, int]
) -> None:
    from vllm.multimodal.media.audio import load_audio
    from vllm.multimodal.video import VIDEO_LOADER_REGISTRY

    frames, sound = noise(*shape), loud(50_001)
    file = pack(frames, sound)
    got, _ = VIDEO_LOADER_REGISTRY.load(loader).load_bytes(file, **options)
    np.testing.assert_array_equal(np.asarray(got), frames)
    heard, rate = load_audio(BytesIO(file), sr=None)
    assert rate == 16_000
    np.testing.assert_array_equal(heard, sound)


def test_an_odd_last_frame_is_doubled() -> None:
    frames = noise(5, 28, 28)
    assert pack(frames, None) == pack(np.concatenate([frames, frames[-1:]]), None)


def test_frames_that_no_file_takes_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"^PyAV does not write it \("):
        pack(np.zeros((2, 28, 40_000, 3), np.uint8), None)


def test_a_view_is_packed_like_its_copy() -> None:
    frames = noise(4, 28, 56)
    assert pack(frames[..., ::-1], None) == pack(frames[..., ::-1].copy(), None)


def test_it_is_smaller_than_the_pixels_of_a_plain_picture() -> None:
    frames = np.full((32, 420, 224, 3), 90, np.uint8)
    assert len(pack(frames, None)) < frames.nbytes / 50


@pytest.mark.parametrize("shape", [(1, 1), (31, 57), (900, 1300)])
def test_an_image_is_the_one_that_was_sent(shape: tuple[int, int]) -> None:
    [pixels] = noise(1, *shape)
    with Image.open(BytesIO(png(pixels))) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.engine
@pytest.mark.parametrize("samples", [1, 1_600, 50_001])
def test_an_audio_is_the_one_that_was_sent(samples: int) -> None:
    from vllm.multimodal.media.audio import load_audio

    sound = loud(samples)
    with av.open(BytesIO(wav(sound))) as container:
        heard = [block.to_ndarray()[0] for block in container.decode(audio=0)]
    np.testing.assert_array_equal(np.concatenate(heard), sound)
    theirs, rate = load_audio(BytesIO(wav(sound)), sr=None)
    assert rate == 16_000
    np.testing.assert_array_equal(theirs, sound)
