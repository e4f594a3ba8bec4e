"""What takes the place of functions of vLLM's models (see ``positions.py``).

Each entry of :data:`CORRECTIONS` makes a function of the one that it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ugc_models.engine.family import LONGEST_SOUND
from ugc_models.engine.interleave import (
    Clock,
    Grid,
    IntArray,
    Span,
    merged_order,
    merged_prompt_positions,
    prompt_positions,
    token_order,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Correction:
    """One function of vLLM, and what replaces it."""

    module: str  # in ``vllm.model_executor.models``
    owner: str | None  # the class, None for a function of the module
    name: str
    replacement: Callable[[Any], Any]
    fault: str  # what is wrong with vLLM's own, in a few words
    of_class: bool = False  # a class method
    several: bool = False  # that is seen only where a request has several media

    def place(self) -> tuple[Any, Any]:
        """Return what holds the function, and the function as vLLM wrote it."""
        from importlib import import_module

        module = import_module(f"vllm.model_executor.models.{self.module}")
        owner = module if self.owner is None else getattr(module, self.owner)
        found = getattr(owner, self.name)
        return owner, getattr(found, "__wrapped__", found)

    def install(self) -> None:
        """Replace it, once."""
        owner, original = self.place()
        if getattr(getattr(owner, self.name), "corrected", False):
            return
        corrected = self.replacement(original)
        corrected.corrected, corrected.__wrapped__ = True, original
        setattr(owner, self.name, classmethod(corrected) if self.of_class else corrected)


def _positions(sequence: Callable[[Any, Iterator[Span], int], IntArray]) -> Any:
    def replacement(original: Any) -> Any:
        def get_mrope_input_positions(
            self: Any, input_tokens: list[int], mm_features: list[Any]
        ) -> tuple[torch.Tensor, int]:
            if not any(feature.modality == "video" for feature in mm_features):
                return original(self, input_tokens, mm_features)  # type: ignore[no-any-return]
            import torch

            length = len(input_tokens)
            found = sequence(self.config, _spans(self, mm_features), length)
            # What is written continues after the last token, as in transformers' ``generate``; the
            # highest position may be that of a picture's lowest row.
            return torch.from_numpy(found), int(found[:, -1].max()) + 1 - length

        return get_mrope_input_positions

    return replacement


def _chunked_sequence(config: Any, spans: Iterator[Span], length: int) -> IntArray:
    return prompt_positions(spans, length, _clock(config))


def _merged_sequence(config: Any, spans: Iterator[Span], length: int) -> IntArray:
    return merged_prompt_positions(spans, length, int(config.position_id_per_seconds))


def _spans(model: Any, features: list[Any]) -> Iterator[Span]:
    """Yield media in the order of their tokens; a video and its sound have the same ones."""
    merge = model.config.vision_config.spatial_merge_size

    def value(feature: Any, name: str) -> Any:
        return feature.data[name].data.tolist()

    by_offset: dict[int, dict[str, Any]] = {}
    for feature in features:
        by_offset.setdefault(feature.mm_position.offset, {})[feature.modality] = feature
    for offset, each in sorted(by_offset.items()):
        sound = grid = None
        seconds = 1.0
        if "audio" in each:
            length = int(value(each["audio"], "audio_feature_lengths"))
            sound = int(model._compute_audio_token_count(length))
        for kind in each.keys() & {"image", "video"}:
            t, h, w = value(each[kind], f"{kind}_grid_thw")
            grid = Grid(t, h // merge, w // merge)
        if "video" in each and "second_per_grid_ts" in each["video"].data:
            seconds = float(value(each["video"], "second_per_grid_ts"))
        yield Span(offset, grid, sound, seconds)


def _clock(thinker_config: Any) -> Clock:
    per_second = int(getattr(thinker_config.vision_config, "tokens_per_second", 25))
    return Clock(per_second, int(per_second * thinker_config.seconds_per_chunk))


def _placeholders(order: Callable[[Any, Grid, int, float], list[bool]]) -> Any:
    def replacement(original: Any) -> Any:
        def _maybe_apply_prompt_updates(
            self: Any, mm_items: Any, mm_res: Any
        ) -> tuple[list[int], Mapping[str, Any]]:
            videos = mm_res.kwargs.get("video", [])
            if not any(_is_on(item) for item in videos):
                return original(self, mm_items, mm_res)  # type: ignore[no-any-return]
            return _expanded(self, mm_items, mm_res, order)

        return _maybe_apply_prompt_updates

    return replacement


def _is_on(video: Any) -> bool:
    flag = None if video is None else video.get("use_audio_in_video")
    return flag is not None and bool(flag.data)


def _expanded(
    processor: Any,
    mm_items: Any,
    mm_res: Any,
    order: Callable[[Any, Grid, int, float], list[bool]],
) -> tuple[list[int], Mapping[str, Any]]:
    """Return the prompt's tokens and where each medium's are; sounds in the order of the marks."""
    import torch
    from vllm.multimodal.processing.processor import PlaceholderFeaturesInfo

    config = processor.info.get_hf_config()
    marks = {getattr(config, f"{kind}_token_id"): kind for kind in ("video", "audio", "image")}
    picture, sound, _ = marks
    left = {kind: list(enumerate(mm_res.prompt_updates.get(kind, ()))) for kind in marks.values()}
    ids: list[int] = []
    places: dict[str, list[Any]] = {kind: [] for kind in marks.values()}  # a picture before sound

    def place(kind: str, index: int, tokens: list[int], embedded: int | None = None) -> None:
        mask = None if embedded is None else torch.tensor(tokens) == embedded
        places[kind].append(PlaceholderFeaturesInfo(kind, index, len(ids), tokens, mask))

    for token in mm_res.prompt_ids:
        kind = marks.get(token)
        if kind is None:
            ids.append(token)
            continue
        try:
            index, [update, *_] = left[kind].pop(0)
            if kind != "video":
                tokens = list(update.content.full)
                place(kind, index, tokens)
            else:
                heard, [of_sound, *_] = left["audio"].pop(0)
                video = mm_res.kwargs["video"][index]
                t, h, w = video["video_grid_thw"].data.tolist()
                merge = config.vision_config.spatial_merge_size
                grid = Grid(t, h // merge, w // merge)
                seconds = float(video["second_per_grid_ts"].data)
                is_picture = order(config, grid, len(of_sound.content.full), seconds)
                tokens = _interleaved(config, is_picture)
                place("video", index, tokens, picture)
                place("audio", heard, tokens, sound)
        except IndexError:
            raise ValueError(f"the prompt has more marks of {kind} than there is of it") from None
        ids += tokens
    found = {kind: each for kind, each in places.items() if each}
    processor._validate_mm_placeholders(found, mm_items.get_all_counts())
    return ids, found


def _token_order(_: Any) -> Any:
    """Order the tokens of one video, for releases in which :func:`_placeholders` does not fit."""

    def omni_get_updates_use_audio_in_video(
        cls: Any,
        thinker_config: Any,
        audio_len: int,
        video_grid_thw: list[int] | torch.Tensor,
        video_second_per_grid_t: float,
    ) -> list[int]:
        t, h, w = (int(side) for side in video_grid_thw)
        merge = thinker_config.vision_config.spatial_merge_size
        grid = Grid(t, h // merge, w // merge)
        order = _chunked(thinker_config, grid, int(audio_len), video_second_per_grid_t)
        return _interleaved(thinker_config, order)

    return omni_get_updates_use_audio_in_video


def _interleaved(config: Any, is_picture: list[bool]) -> list[int]:
    picture, sound = config.video_token_id, config.audio_token_id
    tokens = [picture if each else sound for each in is_picture]
    return [config.audio_start_token_id, *tokens, config.audio_end_token_id]


def _chunked(config: Any, grid: Grid, sound: int, seconds: float) -> list[bool]:
    return token_order(grid, sound, seconds, _clock(config))


def _merged(config: Any, grid: Grid, sound: int, seconds: float) -> list[bool]:
    return merged_order(grid, sound, seconds, int(config.position_id_per_seconds))


def _exact_inputs(original: Any) -> Any:
    """Keep what vLLM drops of a request.

    Each video's seconds of a step, in the double precision in which tokens are ordered; and the
    longest of several sounds, as the length of their masks.
    """

    def _postprocess_hf_mm_data(
        self: Any, mm_data: Any, hf_processor_mm_kwargs: Any, processed_data: Any
    ) -> Any:
        import torch

        processed = original(self, mm_data, hf_processor_mm_kwargs, processed_data)
        seconds = hf_processor_mm_kwargs.get("second_per_grid_ts")
        fps, grids = hf_processor_mm_kwargs.get("fps"), processed.get("video_grid_thw")
        if grids is not None and (seconds or fps):
            frames = self.info.get_hf_processor().video_processor.temporal_patch_size
            told = seconds or [frames / fps] * len(grids)
            processed["second_per_grid_ts"] = torch.tensor(told, dtype=torch.float64)
        if longest := (hf_processor_mm_kwargs.get("audio_kwargs") or {}).get(LONGEST_SOUND):
            masks = processed.get("feature_attention_mask", ())
            processed["feature_attention_mask"] = [
                torch.nn.functional.pad(mask, (0, max(longest - len(mask), 0))) for mask in masks
            ]
        return processed

    return _postprocess_hf_mm_data


def _short_sounds_alone(original: Any) -> Any:
    """Encode a sound that is shorter than a chunk as if no other request were there.

    The encoder pads chunks to the longest of all that it is given, and its convolutions carry the
    padding into a short chunk. In transformers these are the sounds of one request; vLLM encodes
    those of several together.
    """

    def _process_audio_input(self: Any, audio_input: Any) -> tuple[torch.Tensor, ...]:
        import torch

        lengths = audio_input["audio_feature_lengths"].tolist()
        chunk = 2 * self.audio_tower.n_window
        if min(lengths, default=chunk) >= chunk:
            return original(self, audio_input)  # type: ignore[no-any-return]

        def encoded(several: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
            sizes = torch.tensor([features.shape[1] for features in several])
            together = {"input_features": torch.cat(several, 1), "audio_feature_lengths": sizes}
            return original(self, together)  # type: ignore[no-any-return]

        sounds = audio_input["input_features"].split(lengths, dim=1)
        whole = [features for features in sounds if features.shape[1] >= chunk]
        left = iter(encoded(whole) if whole else ())
        found = []
        for features, mask in zip(sounds, audio_input["feature_attention_mask"], strict=True):
            if features.shape[1] >= chunk:
                found.append(next(left))
                continue
            longest = min(len(mask), chunk)
            several = [features]
            if longest > features.shape[1]:
                several.append(features.new_zeros(len(features), longest))
            found.append(encoded(several)[0])
        return tuple(found)

    return _process_audio_input


def _has_both(_: Any) -> Any:
    """Have embeddings placed by their kind, not in their order, wherever both kinds are there."""

    def check_interleaved_audio_video(
        is_video: torch.Tensor, is_audio: torch.Tensor, num_video: int, num_audio: int
    ) -> bool:
        return num_video > 0 and num_audio > 0

    return check_interleaved_audio_video


def _own_embeddings(original: Any) -> Any:
    """Give the marks after an image and a sound their embeddings: those of that tower's tokens."""

    def embed_input_ids(
        self: Any,
        input_ids: torch.Tensor,
        multimodal_embeddings: Any = None,
        *,
        is_multimodal: torch.Tensor | None = None,
    ) -> torch.Tensor:
        import torch

        embedded = original(self, input_ids, multimodal_embeddings, is_multimodal=is_multimodal)
        text = torch.ones_like(input_ids, dtype=torch.bool)
        if is_multimodal is not None:
            text &= ~is_multimodal.to(text.device)
        ends = (self.embed_audio.vocab_offset, self.vocab_size)
        for tower, end in zip((self.embed_vision, self.embed_audio), ends, strict=True):
            own = text & (input_ids >= tower.vocab_offset) & (input_ids < end)
            rows = tower(input_ids=torch.where(own, input_ids, tower.vocab_offset))
            embedded = torch.where(own.unsqueeze(-1), rows.to(embedded.dtype), embedded)
        return embedded

    return embed_input_ids


def _each_alone(original: Any) -> Any:
    """Encode each sound by itself: beside a longer one, its end would be another."""

    def _process_audio_input(self: Any, audio_input: Any) -> list[Any]:
        names = ("input_features_padded", "input_features_mask")
        found: list[Any] = []
        for features, mask in zip(*(audio_input[name] for name in names), strict=True):
            alone = dict(zip(names, (features.unsqueeze(0), mask.unsqueeze(0)), strict=True))
            found += original(self, type(audio_input)(type="audio", **alone))
        return found

    return _process_audio_input


_QWEN2_5 = ("qwen2_5_omni_thinker", "Qwen2_5OmniThinker")
_QWEN3 = ("qwen3_omni_moe_thinker", "Qwen3OmniMoeThinker")
_GEMMA3N = ("gemma3n_mm", "Gemma3nForConditionalGeneration")


def _both(module: str, name: str, sequence: Any, order: Any, *, rounds: bool) -> list[Correction]:
    model, processor = f"{name}ForConditionalGeneration", f"{name}MultiModalProcessor"
    return [
        Correction(
            *(module, model, "get_mrope_input_positions", _positions(sequence)),
            "positions of sound that is interleaved with a video",
        ),
        Correction(
            *(module, processor, "_maybe_apply_prompt_updates", _placeholders(order)),
            "an audio beside a video with sound is refused",
            several=True,
        ),
        Correction(
            *(module, processor, "_postprocess_hf_mm_data", _exact_inputs),
            "one frame rate for all videos" + (", in single precision" if rounds else ""),
            several=not rounds,
        ),
        Correction(
            *(module, None, "check_interleaved_audio_video", _has_both),
            "embeddings of a piece of a prompt that begins in the middle of a video",
        ),
    ]


CORRECTIONS: Mapping[str, Sequence[Correction]] = {
    "qwen2_5_omni": [
        *_both(*_QWEN2_5, _chunked_sequence, _chunked, rounds=False),
        Correction(
            *(_QWEN2_5[0], f"{_QWEN2_5[1]}MultiModalProcessor"),
            *("omni_get_updates_use_audio_in_video", _token_order),
            "order of tokens where frames are more than two seconds apart",
            of_class=True,
        ),
    ],
    "qwen3_omni_moe": [
        *_both(*_QWEN3, _merged_sequence, _merged, rounds=True),
        Correction(
            *(_QWEN3[0], "Qwen3OmniMoeConditionalGenerationMixin"),
            *("_process_audio_input", _short_sounds_alone),
            "a sound of less than a second is encoded otherwise beside other requests' sounds",
        ),
    ],
    "gemma3n": [
        Correction(
            *(*_GEMMA3N, "embed_input_ids", _own_embeddings),
            "embeddings of the marks that end an image and a sound",
        ),
        Correction(
            *(*_GEMMA3N, "_process_audio_input", _each_alone),
            "sounds of several lengths, of several requests too, change each other",
        ),
    ],
}
"""By the ``model_type`` of a checkpoint."""
