"""Families of models: what a checkpoint's processor is given of media, with which options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ugc_models.engine.base import ImageInput, Medium, VideoInput, sounds_of
from ugc_models.request.prompt import CheckpointError, unloadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Samples at 16 kHz: to one frame of the mel spectrogram, under its window, and those that the
# feature extractor keeps at most.
HOP, _WINDOW, _LONGEST = 160, 400, 300 * 16_000
_CHUNK = 100 * HOP
"""Samples that Qwen3-Omni's encoder takes at once."""
LONGEST_SOUND = "longest"
"""Option among ``audio_kwargs``: mel frames of the longest sound, for ``corrections.py``."""
_IMAGE_PIXELS = (3_136, 12_845_056)
"""Least and most pixels of an image in the published checkpoints of Qwen-Omni."""


@dataclass(frozen=True)
class Family:
    """A line of models, as far as its processor differs from the others'.

    The names of these fields are part of every caption's key on disk.
    """

    model_type: str  # the name in the checkpoint's ``config.json``
    token_side: int  # pixels: the vision encoder's patch, and how many of them are merged
    # vLLM needs the rate under two names, ``fps`` for the processor's token order and
    # ``second_per_grid_ts`` for the engine's; either alone gives a wrong layout.
    told_twice: bool
    # Sound must be whole mel frames: of a rest vLLM makes one more frame than transformers does,
    # and then one more token.
    whole_hops: bool
    # Sound that is padded to little more than its own length gives the same features. Qwen3-Omni's
    # differ in some bits; its sound is padded as by default.
    short_padding: bool

    @property
    def longest_sound(self) -> int | None:
        """Samples that transformers keeps of a sound; None where it keeps all, as Qwen3-Omni does.

        vLLM does not cut Qwen2.5-Omni's, so it is cut before.
        """
        return {QWEN2_5.model_type: _LONGEST, GEMMA3N.model_type: 30 * 16_000}.get(self.model_type)

    @property
    def takes_videos(self) -> bool:
        """Whether a video is a medium to it.

        If not, the frames are images, and the sound follows the last of them as an audio.
        """
        return self.model_type != GEMMA3N.model_type

    @property
    def frame_pixels(self) -> int:
        """The most pixels of a frame where no argument says how many."""
        return 128 * 28 * 28 if self.takes_videos else 768 * 768


QWEN2_5 = Family(
    "qwen2_5_omni", token_side=28, told_twice=True, whole_hops=False, short_padding=True
)
QWEN3 = Family(
    "qwen3_omni_moe", token_side=32, told_twice=False, whole_hops=True, short_padding=False
)

# Whatever an image's size, it is scaled to 768 by 768 pixels and becomes 256 tokens; a frame needs
# even sides only.
GEMMA3N = Family("gemma3n", token_side=2, told_twice=False, whole_hops=False, short_padding=False)

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (QWEN2_5, QWEN3, GEMMA3N)}


def family_of(model: str, revision: str | None = None) -> Family:
    """Read a checkpoint's configuration: its family, with the size of its own tokens.

    Raises:
        CheckpointError: there is no such checkpoint, or it is another kind of model.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, revision=revision or "main")
    except Exception as error:
        raise unloadable("configuration", model, error) from error
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise CheckpointError(
            f"model={model!r} is a {config.model_type!r}: this adapter knows {', '.join(FAMILIES)}"
        )
    if not family.takes_videos:
        return family
    vision = config.thinker_config.vision_config
    return replace(family, token_side=vision.patch_size * vision.spatial_merge_size)


@dataclass(frozen=True)
class ProcessorInputs:
    """How media are handed to a checkpoint's processor.

    ``frames`` of videos have their final size, unless ``resize``; images have their own, and the
    processor scales them.
    """

    family: Family = QWEN2_5
    channels: Literal["rgb", "bgr"] = "rgb"  # order of the colours that the model is to see
    tell_fps: bool = True  # otherwise the processor assumes a rate of 2 (Qwen2.5) or 1 (Qwen3)
    # The processor scales frames once more, within its own bounds. Otherwise the bounds are the
    # frames' own, and nothing is scaled.
    resize: bool = False
    image_min_pixels: int | None = None  # None for the checkpoint's own
    image_max_pixels: int | None = None

    def frames(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (T, H, W, 3) frames in the model's channel order, C-contiguous."""
        import numpy as np

        return rgb if self.channels == "rgb" else np.ascontiguousarray(rgb[..., ::-1])

    def sound(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the model hears of (N,) samples at 16 kHz.

        That is not the last incomplete 10 ms where they must go, and not what transformers cuts.
        """
        length = len(samples)
        if self.family.longest_sound is not None:
            length = min(length, self.family.longest_sound)
        if self.family.whole_hops:
            length = length // HOP * HOP
        return samples if length == len(samples) else samples[:length]

    def options(self, media: Sequence[Medium]) -> dict[str, Any]:
        """Return the processor's options (vLLM's ``mm_processor_kwargs``) for a request's media.

        There are none for a family that takes no videos. A time step of the others is two frames.
        Sounds are as :meth:`sound` returned them. They are padded to the longest of them and not to
        the 300 seconds of default: nine tenths of a processor's time for a clip go into the
        spectrogram of that silence. Half a window (200 samples) at each side and whole hops give
        the same features for the sound, bit by bit.
        """
        options: dict[str, Any] = {}
        if not self.family.takes_videos:
            return options
        videos = [medium for medium in media if isinstance(medium, VideoInput)]
        if videos:
            options |= self._video_options(videos)
        bounds = (self.image_min_pixels, self.image_max_pixels)
        if bounds != (None, None) and any(isinstance(medium, ImageInput) for medium in media):
            least, most = (given or own for given, own in zip(bounds, _IMAGE_PIXELS, strict=True))
            options |= {"images_kwargs": {"size": {"shortest_edge": least, "longest_edge": most}}}
        sounds = sounds_of(media)
        if sounds and self.family.short_padding:
            longest = max(map(len, sounds))
            padded = min(-(-(longest + _WINDOW) // HOP) * HOP, _LONGEST)
            options |= {"audio_kwargs": {"padding": "max_length", "max_length": padded}}
        elif len(sounds) > 1 and min(map(len, sounds)) < _CHUNK:
            options |= {"audio_kwargs": {LONGEST_SOUND: max(map(len, sounds)) // HOP}}
        return options

    def _video_options(self, videos: Sequence[VideoInput]) -> dict[str, Any]:
        own: dict[str, Any] = {"do_sample_frames": False, "cap_pixels_per_frame": False}
        if not self.resize:
            shapes = [video.frames.shape for video in videos]
            least = min(height * width for _, height, width, _ in shapes)
            most = max(height * width * max(count, 2) for count, height, width, _ in shapes)
            own |= {"do_resize": False, "size": {"shortest_edge": least, "longest_edge": most}}
        options: dict[str, Any] = {"videos_kwargs": own}  # for videos alone, not for images
        if self.tell_fps:
            rates = [video.fps or 2.0 for video in videos]
            options |= {"fps": rates[0]}
            # transformers takes one rate for all videos; see ``engine.positions``.
            if self.family.told_twice or len(set(rates)) > 1:
                options |= {"second_per_grid_ts": [2.0 / fps for fps in rates]}
        if videos[0].sound is not None:
            options |= {"use_audio_in_video": True}
        return options
