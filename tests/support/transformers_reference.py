"""The reference implementation of the models: transformers, greedy, float32, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ugc_models.engine.base import (
    EngineRequest,
    FramesInput,
    Medium,
    VideoInput,
    sounds_of,
)
from ugc_models.media.clip import Clip

About = Clip | tuple[Medium, ...] | None

_CLASSES = {
    "qwen2_5_omni": ("Qwen2_5OmniProcessor", "Qwen2_5OmniThinkerForConditionalGeneration"),
    "qwen3_omni_moe": ("Qwen3OmniMoeProcessor", "Qwen3OmniMoeThinkerForConditionalGeneration"),
    "gemma3n": ("Gemma3nProcessor", "Gemma3nForConditionalGeneration"),
}
"""``model_type`` of a checkpoint -> classes of its processor and its thinker."""

AS_THEY_ARE = {"do_resize": False, "do_sample_frames": False, "cap_pixels_per_frame": False}
"""Options for frames that have their final size already: nothing is scaled or left out."""


@dataclass(frozen=True)
class Generated:
    """Token ids of an expanded prompt and of what was written, and how sure the model was.

    ``margins`` are the gaps between the two largest logits: a token is only comparable where the
    gap is far above rounding.
    """

    prompt: list[int]
    tokens: list[int]
    margins: list[float]


class Reference:
    """The thinker of a checkpoint, with the class that its configuration names."""

    def __init__(self, checkpoint: Path) -> None:
        import torch
        import transformers

        kind = json.loads((checkpoint / "config.json").read_text("utf-8"))["model_type"]
        processor, thinker = (getattr(transformers, name) for name in _CLASSES[kind])
        self._torch, self.checkpoint = torch, checkpoint
        # What else both are told: Gemma-3n's template writes the beginning mark itself.
        self._gemma = kind == "gemma3n"
        self.processor = processor.from_pretrained(checkpoint)
        self.model = thinker.from_pretrained(checkpoint, dtype=torch.float32).eval()
        self._written: dict[Any, Generated] = {}

    def chat(self, question: str, system: str | None = None) -> str:
        """Return the prompt of a question about a clip, by the checkpoint's own template."""
        content = [{"type": "video"}, {"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        rendered = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return rendered if isinstance(rendered, str) else str(rendered[0])

    def inputs(
        self, prompt: str, media: About, options: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return what the reference processor makes of a prompt and a clip, or of its media.

        ``options`` are the processor's; without them frames stay as they are and their rate is
        told.
        """
        media = _media(media)
        videos = [m for m in media if isinstance(m, VideoInput) and not isinstance(m, FramesInput)]
        told: dict[str, Any] = dict(options or {})
        if videos and options is None:
            told["videos_kwargs"] = {**AS_THEY_ARE, "fps": videos[0].fps}
        if videos:
            told["videos"] = [video.frames for video in videos]
        if sounds := sounds_of(media):
            told["audio"] = sounds
        if images := EngineRequest(0, prompt, media, {}).images:
            told["images"] = [Image.fromarray(pixels) for pixels in images]
        if self._gemma:
            told["add_special_tokens"] = False
        else:
            told["use_audio_in_video"] = _interleaved(media)
        rates = [video.fps or 2.0 for video in videos]
        with self._paced([2 / rate for rate in rates] if rates and options is None else None):
            inputs: dict[str, Any] = self.processor(
                text=prompt,
                return_tensors="pt",
                padding=True,
                **told,
            )
        if videos and options is None:
            inputs["video_second_per_grid"] = self._torch.tensor([2 / rate for rate in rates])
        return inputs

    @contextmanager
    def _paced(self, seconds: Sequence[float] | None) -> Iterator[None]:
        """Have each video take its own seconds a step: the processor knows one rate for all."""
        own = getattr(self.processor, "replace_multimodal_special_tokens", None)
        if seconds is not None and own is not None:
            self.processor.replace_multimodal_special_tokens = lambda *args, **more: own(
                *args, **{**more, "video_second_per_grid": iter(seconds)}
            )
        try:
            yield
        finally:
            self.processor.__dict__.pop("replace_multimodal_special_tokens", None)

    def generate(
        self,
        prompt: str,
        media: About,
        *,
        tokens: int,
        options: Mapping[str, Any] | None = None,
        whole_positions: bool = False,
    ) -> Generated:
        """Write exactly ``tokens`` tokens, end marks or not; the same once only.

        ``whole_positions`` rounds every position down to a whole number, see ``engine.positions``.
        """
        key = (prompt, media, tokens, repr(options), whole_positions)
        if key not in self._written:
            with self._each_alone(sounds_of(_media(media))):
                self._written[key] = self._generate(
                    self.inputs(prompt, media, options),
                    tokens,
                    interleaved=_interleaved(_media(media)),
                    whole_positions=whole_positions,
                )
        return self._written[key]

    def _generate(
        self, inputs: Mapping[str, Any], tokens: int, *, interleaved: bool, whole_positions: bool
    ) -> Generated:
        more = {} if self._gemma else {"use_audio_in_video": interleaved}
        with self._torch.no_grad(), self._rounded(whole_positions):
            output = self.model.generate(
                **inputs,
                **more,
                max_new_tokens=tokens,
                do_sample=False,
                eos_token_id=None,
                return_dict_in_generate=True,
                output_logits=True,
            )
        prompt_ids = inputs["input_ids"][0].tolist()
        tops = [step[0].float().topk(2).values for step in output.logits]
        return Generated(
            prompt=prompt_ids,
            tokens=output.sequences[0, len(prompt_ids) :].tolist(),
            margins=[float(top[0] - top[1]) for top in tops],
        )

    @contextmanager
    def _each_alone(self, sounds: Sequence[Any]) -> Iterator[None]:
        """Have each sound of Gemma-3n encoded as if it were the only one of the request.

        The processor pads sounds to the longest of them, which changes the ends of the others.
        """
        if not self._gemma or len(sounds) < 2:
            yield
            return
        inner, pad = self.model.model, self._torch.nn.utils.rnn.pad_sequence
        own = inner.get_audio_features

        def alone(*_: Any, **more: Any) -> Any:
            extract = self.processor.feature_extractor
            made = [extract([sound], return_tensors="pt") for sound in sounds]
            each = [own(m.input_features, ~m.input_features_mask, **more) for m in made]
            whole, *_rest = each
            whole.pooler_output = pad([e.pooler_output[0] for e in each], batch_first=True)
            masks = [e.audio_mel_mask[0] for e in each]
            whole.audio_mel_mask = pad(masks, batch_first=True, padding_value=True)
            return whole

        inner.get_audio_features = alone
        try:
            yield
        finally:
            del inner.get_audio_features

    @contextmanager
    def _rounded(self, wanted: bool) -> Iterator[None]:
        if not wanted:
            yield
            return
        exact = self.model.get_rope_index

        def whole(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
            positions, _ = exact(*args, **kwargs)
            down = positions.floor()
            # What is written goes on after the highest position.
            return down, down.amax(dim=(0, 2)).unsqueeze(1) + 1 - down.shape[2]

        self.model.get_rope_index = whole
        try:
            yield
        finally:
            del self.model.get_rope_index


def _media(about: About) -> tuple[Medium, ...]:
    if isinstance(about, Clip):
        return (VideoInput(about.frames, about.fps, about.sound),)
    return about or ()


def _interleaved(media: Sequence[Medium]) -> bool:
    return any(isinstance(medium, VideoInput) and medium.sound is not None for medium in media)
