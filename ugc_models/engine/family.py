"""Families of models: what a checkpoint's processor is given of a clip, with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ugc_models.prompt import CheckpointError, unloadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Samples at 16 kHz: to one frame of the mel spectrogram, under its window, and those that the
# feature extractor keeps at most.
HOP, _WINDOW, _LONGEST = 160, 400, 300 * 16_000


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


QWEN2_5 = Family(
    "qwen2_5_omni", token_side=28, told_twice=True, whole_hops=False, short_padding=True
)
QWEN3 = Family(
    "qwen3_omni_moe", token_side=32, told_twice=False, whole_hops=True, short_padding=False
)

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (QWEN2_5, QWEN3)}


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
            f"model={model!r} is a {config.model_type!r}: this adapter knows "
            f"{' and '.join(FAMILIES)}"
        )
    vision = config.thinker_config.vision_config
    return replace(family, token_side=vision.patch_size * vision.spatial_merge_size)


@dataclass(frozen=True)
class ProcessorInputs:
    """How a clip's frames and sound are handed to a checkpoint's processor."""

    family: Family = QWEN2_5
    channels: Literal["rgb", "bgr"] = "rgb"  # order of the colours that the model is to see
    tell_fps: bool = True  # otherwise the processor assumes a rate of 2 (Qwen2.5) or 1 (Qwen3)
    # The processor scales frames once more, within its own bounds. Otherwise the bounds are the
    # frames' own, and nothing is scaled.
    resize: bool = False

    def frames(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (T, H, W, 3) frames in the model's channel order, C-contiguous."""
        import numpy as np

        return rgb if self.channels == "rgb" else np.ascontiguousarray(rgb[..., ::-1])

    def sound(self, samples: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Return (N,) samples at 16 kHz, without the last incomplete 10 ms where they must go."""
        if samples is None or not self.family.whole_hops:
            return samples
        return samples[: len(samples) // HOP * HOP]

    def options(
        self,
        fps: float | None,
        shape: tuple[int, ...],
        *,
        sound: NDArray[np.float32] | None = None,
    ) -> dict[str, Any]:
        """Return the processor's options (vLLM's ``mm_processor_kwargs``) for a clip.

        ``shape`` is (T, H, W, 3); a time step of the model is two frames. ``sound`` is as
        :meth:`sound` returned it. It is padded to its own length and not to the 300 seconds of
        default: nine tenths of a processor's time for a clip go into the spectrogram of that
        silence. Half a window (200 samples) at each side and whole hops give the same features for
        the sound, bit by bit.
        """
        options: dict[str, Any] = {"do_sample_frames": False, "cap_pixels_per_frame": False}
        if not self.resize:
            area = shape[1] * shape[2]
            size = {"shortest_edge": area, "longest_edge": area * max(shape[0], 2)}
            options |= {"do_resize": False, "size": size}
        if self.tell_fps:
            fps = fps or 2.0
            options |= {"fps": fps}
            if self.family.told_twice:
                options |= {"second_per_grid_ts": [2.0 / fps]}
        if sound is not None and len(sound):
            options |= {"use_audio_in_video": True}
            if self.family.short_padding:
                padded = min(-(-(len(sound) + _WINDOW) // HOP) * HOP, _LONGEST)
                options |= {"audio_kwargs": {"padding": "max_length", "max_length": padded}}
        return options
