"""The reference implementation of the models: transformers, greedy, float32, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_models.media.clip import Clip

_CLASSES = {
    "qwen2_5_omni": ("Qwen2_5OmniProcessor", "Qwen2_5OmniThinkerForConditionalGeneration"),
    "qwen3_omni_moe": ("Qwen3OmniMoeProcessor", "Qwen3OmniMoeThinkerForConditionalGeneration"),
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
        self._torch = torch
        self.processor = processor.from_pretrained(checkpoint)
        self._model = thinker.from_pretrained(checkpoint, dtype=torch.float32).eval()
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
        self, prompt: str, clip: Clip | None, options: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return what the reference processor makes of a prompt and a clip.

        ``options`` are the processor's; without them frames stay as they are and their rate is
        told.
        """
        media: dict[str, Any] = {}
        if clip is not None:
            media["videos"] = [clip.frames]
            media |= {**AS_THEY_ARE, "fps": clip.fps} if options is None else options
        interleaved = clip is not None and clip.sound is not None
        if clip is not None and clip.sound is not None:
            media["audio"] = [clip.sound]
        inputs: Mapping[str, Any] = self.processor(
            text=prompt,
            return_tensors="pt",
            padding=True,
            use_audio_in_video=interleaved,
            **media,
        )
        return inputs

    def generate(
        self,
        prompt: str,
        clip: Clip | None,
        *,
        tokens: int,
        options: Mapping[str, Any] | None = None,
        whole_positions: bool = False,
    ) -> Generated:
        """Write exactly ``tokens`` tokens, end marks or not; the same once only.

        ``whole_positions`` rounds every position down to a whole number, see ``engine.positions``.
        """
        key = (prompt, clip, tokens, repr(options), whole_positions)
        if key not in self._written:
            self._written[key] = self._generate(
                self.inputs(prompt, clip, options),
                tokens,
                interleaved=clip is not None and clip.sound is not None,
                whole_positions=whole_positions,
            )
        return self._written[key]

    def _generate(
        self, inputs: Mapping[str, Any], tokens: int, *, interleaved: bool, whole_positions: bool
    ) -> Generated:
        with self._torch.no_grad(), self._rounded(whole_positions):
            output = self._model.generate(
                **inputs,
                use_audio_in_video=interleaved,
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
    def _rounded(self, wanted: bool) -> Iterator[None]:
        if not wanted:
            yield
            return
        exact = self._model.get_rope_index

        def whole(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
            positions, _ = exact(*args, **kwargs)
            down = positions.floor()
            # What is written goes on after the highest position.
            return down, down.amax(dim=(0, 2)).unsqueeze(1) + 1 - down.shape[2]

        self._model.get_rope_index = whole
        try:
            yield
        finally:
            del self._model.get_rope_index
