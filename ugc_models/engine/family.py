"""Families of models: what a checkpoint's processor is given of a clip, with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ugc_models.engine.base import shown
from ugc_models.prompt import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOP = 160
"""Samples at 16 kHz to one frame of the mel spectrogram."""
_WINDOW = 400
"""Samples at 16 kHz under one frame's window."""
_LONGEST = 300 * 16_000
"""Samples that the feature extractor keeps at most."""


@dataclass(frozen=True)
class Family:
    """A line of models, as far as its processor differs from the others'.

    The names of these fields are part of every caption's key on disk.

    Attributes:
        model_type: the name in the checkpoint's ``config.json``.
        token_side: pixels of a token's side: the vision encoder's patch, and how many are merged.
        told_twice: whether vLLM needs the rate under two names, ``fps`` for the processor's token
            order and ``second_per_grid_ts`` for the engine's; either alone gives a wrong layout.
        whole_hops: whether sound must be whole mel frames. Of a rest vLLM makes one more frame than
            transformers does, and then one more token.
        short_padding: whether sound that is padded to little more than its own length gives the
            same features. Qwen3-Omni's differ in some bits; its sound is padded as by default.
    """

    model_type: str
    token_side: int
    told_twice: bool
    whole_hops: bool
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

    Args:
        model: Hugging Face name or folder.
        revision: of the Hugging Face repository; its main branch without one.

    Raises:
        CheckpointError: there is no such checkpoint, or it is another kind of model.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, revision=revision or "main")
    except Exception as error:
        reason = shown(str(error).strip().partition("\n")[0])
        raise CheckpointError(
            f"the configuration of model={model!r} cannot be loaded: check the folder or the "
            f"Hugging Face name ({type(error).__name__}: {reason})"
        ) from error
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise CheckpointError(
            f"model={model!r} is a {config.model_type!r}: this adapter knows "
            f"{' and '.join(FAMILIES)}"
        )
    vision = config.thinker_config.vision_config
    return replace(family, token_side=vision.patch_size * vision.spatial_merge_size)


def processor_options(
    fps: float | None,
    shape: tuple[int, ...] | None,
    *,
    sound: bool,
    family: Family = QWEN2_5,
    tell_fps: bool = True,
    resize: bool = False,
) -> dict[str, Any]:
    """Return the processor's options (vLLM's ``mm_processor_kwargs``).

    Args:
        fps: frames per second; a time step of the model is two frames.
        shape: (T, H, W, 3), None without frames.
        sound: whether sound is interleaved with the frames.
        family: of the checkpoint.
        tell_fps: say ``fps``; otherwise the processor assumes 2 (Qwen2.5) or 1 (Qwen3).
        resize: let the processor scale frames once more, within its own bounds. Otherwise the
            bounds are the frames' own, and nothing is scaled.
    """
    options: dict[str, Any] = {"use_audio_in_video": True} if sound else {}
    if shape is None:
        return options
    options |= {"do_sample_frames": False, "cap_pixels_per_frame": False}
    if not resize:
        area = shape[1] * shape[2]
        size = {"shortest_edge": area, "longest_edge": area * max(shape[0], 2)}
        options |= {"do_resize": False, "size": size}
    if tell_fps:
        fps = fps or 2.0
        options |= {"fps": fps}
        if family.told_twice:
            options |= {"second_per_grid_ts": [2.0 / fps]}
    return options


def padding_options(samples: int) -> dict[str, Any]:
    """Return the options that pad sound to its own length and not to the 300 seconds of default.

    Nine tenths of a processor's time for a clip go into the spectrogram of that silence. Half a
    window (200 samples) at each side and whole hops give the same features for the sound, bit by
    bit.

    Args:
        samples: of sound at 16 kHz.
    """
    padded = min(-(-(samples + _WINDOW) // HOP) * HOP, _LONGEST)
    return {"audio_kwargs": {"padding": "max_length", "max_length": padded}}


@dataclass(frozen=True)
class ProcessorInputs:
    """How a clip's frames and sound are handed to a checkpoint's processor.

    Attributes:
        family: of the checkpoint.
        channels: order of the colours that the model is to see, ``rgb`` or ``bgr``.
        tell_fps, resize: as in :func:`processor_options`.
    """

    family: Family = QWEN2_5
    channels: Literal["rgb", "bgr"] = "rgb"
    tell_fps: bool = True
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
        shape: tuple[int, ...] | None,
        *,
        sound: NDArray[np.float32] | None = None,
    ) -> dict[str, Any]:
        """Return :func:`processor_options` for them, and :func:`padding_options` for the sound.

        ``sound`` is as :meth:`sound` returned it: one-dimensional, at 16 kHz; None for none.
        """
        samples = 0 if sound is None else len(sound)
        options = processor_options(
            fps,
            shape,
            sound=samples > 0,
            family=self.family,
            tell_fps=self.tell_fps,
            resize=self.resize,
        )
        if samples and self.family.short_padding:
            options |= padding_options(samples)
        return options
