"""The reference implementation of the model: transformers, greedy, float32, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_models.media.clip import Clip


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
    """``Qwen2_5OmniThinkerForConditionalGeneration`` on a checkpoint."""

    def __init__(self, checkpoint: Path) -> None:
        import torch
        from transformers import Qwen2_5OmniProcessor, Qwen2_5OmniThinkerForConditionalGeneration

        self._torch = torch
        self.processor = Qwen2_5OmniProcessor.from_pretrained(checkpoint)
        self._model = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32
        ).eval()

    def generate(self, prompt: str, clip: Clip | None, *, tokens: int) -> Generated:
        """Write exactly ``tokens`` tokens, end marks or not."""
        interleaved = clip is not None and clip.sound is not None
        media: dict[str, Any] = {}
        if clip is not None:
            # The frames have their final size already: the processor scales nothing.
            media |= {"videos": [clip.frames], "fps": clip.fps, "do_resize": False}
            media |= {"do_sample_frames": False, "cap_pixels_per_frame": False}
        if interleaved:
            media["audio"] = [clip.sound]
        inputs = self.processor(
            text=prompt,
            return_tensors="pt",
            padding=True,
            use_audio_in_video=interleaved,
            **media,
        )
        with self._torch.no_grad():
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
