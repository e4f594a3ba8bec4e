"""Give vLLM's Qwen-Omni models transformers' token order and positions for a video with sound.

Where Qwen2.5-Omni interleaves sound, vLLM (read in 0.26 to 0.33) differs from the reference in
three places:

* positions: it counts ``<|audio_bos|>`` as the first token of the picture. In the reference the two
  begin marks share a position, and so do the two end marks;
* token order: where frames are more than a chunk (two seconds) apart it skips the empty chunks, the
  reference does not (:func:`ugc_models.engine.interleave.chunk_bounds`). Thirty-two frames over a
  clip longer than 31 seconds are such a case;
* embeddings: a prompt that is computed in pieces (chunked prefill, vLLM's default on a GPU) may
  have a piece of sound and then picture, and nothing else. vLLM does not take that piece for
  interleaved, and puts the picture's embeddings where the sound belongs.

With Qwen3-Omni it differs (read in 0.32) in the last, and in three more:

* token order: it computes in single precision, the reference in double. The results differ where
  frame and sound fall on the same position (at 13 frames a second, say);
* positions: it rounds them down before it merges picture and sound, so that a patch of the picture
  may get a position of the sound (:func:`ugc_models.engine.interleave.merged_positions`);
* positions are whole numbers, those of the reference are not. This cannot be corrected here: unless
  26 / fps is a whole number (1, 2, 6.5, 13 or 26 frames a second), a frame lies up to 1/13 second
  earlier than in transformers. Nothing else differs then.

All of these change what the model writes. :func:`install` replaces the methods. It is registered in
vLLM's own entry-point group ``vllm.general_plugins``, which every process of an engine loads: the
caller's, the engine core's, each worker's, and ``vllm serve``. ``UGC_OMNI_POSITIONS=native`` keeps
vLLM's own for comparison.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ugc_models.engine.base import logger
from ugc_models.engine.interleave import (
    Clock,
    Grid,
    IntArray,
    merged_positions,
    positions,
    token_order,
)
from ugc_models.engine.process import allow_plugin

if TYPE_CHECKING:
    import torch

Status = Literal["corrected", "native", "unverified"]

_KNOWN = {"qwen2_5_omni": ">=0.26,<0.34", "qwen3_omni_moe": ">=0.32,<0.33"}
"""vLLM releases whose model was read and found to differ. Others keep their own, with a warning."""
SWITCH = "UGC_OMNI_POSITIONS"
"""Environment variable: ``native`` keeps vLLM's own."""
PLUGIN = "ugc_omni_positions"
"""Name of :func:`install` among vLLM's plugins."""

_log = logger(__name__)


def install() -> None:
    """Correct vLLM's Qwen-Omni models in this process. Idempotent; never raises (vLLM calls it)."""
    for family, correct in _CORRECTIONS.items():
        try:
            if status(family) == "corrected":
                correct()
            elif status(family) == "unverified":
                # It is not known here which model will run. For Qwen3-Omni few releases were read:
                # no warning for those who do not use it; the results say which positions it had.
                _log.log(
                    logging.WARNING if family == "qwen2_5_omni" else logging.INFO,
                    "vLLM %s is outside %s, for which the positions of sound in video were "
                    "checked in %s: its own are used, and may differ from transformers'.",
                    _vllm_version(),
                    _KNOWN[family],
                    family,
                )
        except Exception:
            # vLLM loads this for every model, also where it has no Qwen-Omni.
            _log.exception("The positions of sound in video could not be corrected in this vLLM.")


def require() -> None:
    """Correct this process, and see that the engine's processes will; call it before they start.

    Where ``VLLM_PLUGINS`` is set, vLLM loads only the plugins that it names.
    """
    install()
    allow_plugin(PLUGIN)


def status(family: str = "qwen2_5_omni") -> Status:
    """Return which positions an engine started here uses; ``family`` is a ``model_type``."""
    from packaging.specifiers import SpecifierSet

    if os.environ.get(SWITCH, "").lower() == "native":
        return "native"
    # A local or pre-release build (0.32.0+cpu, 0.33.0rc1) counts as its release.
    known = SpecifierSet(_KNOWN[family]).contains(_vllm_version(), prereleases=True)
    return "corrected" if known else "unverified"


def engine_words(family: str = "qwen2_5_omni") -> str:
    """Return the engine's version and the kind of its positions, for the results of a run."""
    # Qwen3's positions in time are fractions in transformers and whole numbers in vLLM.
    rounding = ", rounded down" if family == "qwen3_omni_moe" else ""
    return f"vllm {_vllm_version()} {status(family)} positions{rounding}"


def _vllm_version() -> str:
    # Not importlib.metadata: the CPU build of the tests is distributed under another name.
    from vllm import __version__

    return str(__version__)


def _replace(owner: Any, name: str, method: Callable[[Any], Any], kind: Any = None) -> None:
    """Replace a method by what ``method`` returns for it, once; ``kind`` may be ``classmethod``."""
    original = getattr(owner, name)
    if getattr(original, "corrected", False):
        return
    corrected = method(original)
    corrected.corrected, corrected.__wrapped__ = True, original
    setattr(owner, name, corrected if kind is None else kind(corrected))


def _positions(original: Any) -> Any:
    def get_mrope_input_positions(
        self: Any, input_tokens: list[int], mm_features: list[Any]
    ) -> tuple[torch.Tensor, int]:
        items = list(self.iter_mm_features(mm_features))
        if not any(data.get("use_audio_in_video") for _, _, data in items):
            return original(self, input_tokens, mm_features)  # type: ignore[no-any-return]
        import torch

        found = _sequence(self, items, len(input_tokens), _clock(self.config))
        return torch.from_numpy(found), int(found.max()) + 1 - len(input_tokens)

    return get_mrope_input_positions


def _sequence(
    model: Any, items: list[tuple[int, str, dict[str, Any]]], length: int, clock: Clock
) -> IntArray:
    """Return the ``(3, length)`` positions of a whole prompt with interleaved sound in it."""
    pieces: list[IntArray] = []
    done = 0  # tokens placed
    following = 0  # position of the next token

    def text(count: int) -> None:
        nonlocal done, following
        pieces.append(np.broadcast_to(np.arange(count) + following, (3, count)))
        done, following = done + count, following + count

    for offset, modality, data in items:
        text(offset - done)
        if modality == "audio":
            text(model._compute_audio_token_count(data["audio_feature_length"]))
            continue
        grid = Grid(data["grid_t"], data["grid_h"], data["grid_w"])
        seconds = data["t_factor"] / clock.per_second
        if data.get("use_audio_in_video"):
            sound = model._compute_audio_token_count(data["audio_feature_length"])
            # The item begins with <|audio_bos|>, at the position of <|vision_bos|> before it.
            pieces.append(np.full((3, 1), following - 1))
            span, end = positions(grid, sound, seconds, clock, following)
            # <|audio_eos|>, its last token, shares a position with <|vision_eos|> behind it.
            pieces += [span, np.full((3, 2), end)]
            done, following = offset + span.shape[1] + 3, end + 1
        else:
            span, following = positions(grid, 0, seconds, clock, following)
            # Without sound, what follows continues after the highest position.
            following = int(span.max()) + 1
            pieces.append(span)
            done += span.shape[1]
    text(length - done)
    return np.concatenate(pieces, axis=1)


def _token_order(_: Any) -> Any:
    def omni_get_updates_use_audio_in_video(
        cls: Any,
        thinker_config: Any,
        audio_len: int,
        video_grid_thw: list[int] | torch.Tensor,
        video_second_per_grid_t: float,
    ) -> list[int]:
        t, h, w = (int(side) for side in video_grid_thw)
        merge = thinker_config.vision_config.spatial_merge_size
        order = token_order(
            Grid(t, h // merge, w // merge),
            int(audio_len),
            video_second_per_grid_t,
            _clock(thinker_config),
        )
        picture, sound = thinker_config.video_token_index, thinker_config.audio_token_index
        return [
            thinker_config.audio_start_token_id,
            *(picture if is_picture else sound for is_picture in order),
            thinker_config.audio_end_token_id,
        ]

    return omni_get_updates_use_audio_in_video


def _clock(thinker_config: Any) -> Clock:
    per_second = int(getattr(thinker_config.vision_config, "tokens_per_second", 25))
    return Clock(per_second, int(per_second * thinker_config.seconds_per_chunk))


def _merged_positions(_: Any) -> Any:
    def _compute_interleaved_positions(
        self: Any, start_idx: int, data: dict[str, Any]
    ) -> tuple[IntArray, int]:
        per_second = int(self.config.position_id_per_seconds)
        span = merged_positions(
            Grid(data["grid_t"], data["grid_h"], data["grid_w"]),
            self._compute_audio_token_count(data["audio_feature_length"]),
            data["t_factor"] / per_second,
            per_second,
            start_idx,
        )
        return span, span.shape[1]

    return _compute_interleaved_positions


def _exact_rate(original: Any) -> Any:
    """Keep the seconds of a step in double precision, in which the processor orders tokens."""

    def _postprocess_hf_mm_data(
        self: Any, mm_data: Any, hf_processor_mm_kwargs: Any, processed_data: Any
    ) -> Any:
        import torch

        processed = original(self, mm_data, hf_processor_mm_kwargs, processed_data)
        fps = hf_processor_mm_kwargs.get("fps")
        seconds = processed.get("second_per_grid_ts")
        if fps is not None and isinstance(seconds, torch.Tensor):
            frames = self.info.get_hf_processor().video_processor.temporal_patch_size
            processed["second_per_grid_ts"] = torch.full_like(
                seconds, frames / fps, dtype=torch.float64
            )
        return processed

    return _postprocess_hf_mm_data


def _has_both(_: Any) -> Any:
    """Have embeddings placed by their kind, not in their order, wherever both kinds are there."""

    def check_interleaved_audio_video(
        is_video: torch.Tensor, is_audio: torch.Tensor, num_video: int, num_audio: int
    ) -> bool:
        return num_video > 0 and num_audio > 0

    return check_interleaved_audio_video


def _correct_qwen2_5() -> None:
    from vllm.model_executor.models import qwen2_5_omni_thinker as module

    model = module.Qwen2_5OmniThinkerForConditionalGeneration
    processor = module.Qwen2_5OmniThinkerMultiModalProcessor
    _replace(model, "get_mrope_input_positions", _positions)
    _replace(processor, "omni_get_updates_use_audio_in_video", _token_order, classmethod)
    _replace(module, "check_interleaved_audio_video", _has_both)


def _correct_qwen3() -> None:
    from vllm.model_executor.models import qwen3_omni_moe_thinker as module

    model = module.Qwen3OmniMoeThinkerForConditionalGeneration
    processor = module.Qwen3OmniMoeThinkerMultiModalProcessor
    _replace(model, "_compute_interleaved_positions", _merged_positions)
    _replace(processor, "_postprocess_hf_mm_data", _exact_rate)
    _replace(module, "check_interleaved_audio_video", _has_both)


_CORRECTIONS = {"qwen2_5_omni": _correct_qwen2_5, "qwen3_omni_moe": _correct_qwen3}
