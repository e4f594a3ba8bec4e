"""One question about many clips, for every way of asking it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugc_models.engine.base import EngineRequest
from ugc_models.engine.family import ProcessorInputs, family_of
from ugc_models.job import Job
from ugc_models.media.clip import Clip
from ugc_models.media.sampling import Sampling
from ugc_models.prompt import ChatTemplate, Conversation
from ugc_models.sampling import sampling_arguments

QUESTION = "Tell me in one paragraph what this short clip shows and what can be heard in it."


@dataclass(frozen=True)
class Asking:
    """How clips are sampled and asked about.

    Attributes:
        prompt: rendered by the checkpoint's chat template.
        sampling: arguments of ``vllm.SamplingParams``.
        media: which frames, and how large.
        inputs: to the checkpoint's processor.
    """

    prompt: str
    sampling: Mapping[str, Any]
    media: Sampling
    inputs: ProcessorInputs

    def request(self, index: int, clip: Clip) -> EngineRequest:
        """Return the request about a clip that was read."""
        frames, sound = self.inputs.frames(clip.frames), self.inputs.sound(clip.sound)
        return EngineRequest(
            index,
            self.prompt,
            frames=frames,
            fps=clip.fps,
            sound=sound,
            parameters=self.sampling,
            processor=self.inputs.options(clip.fps, frames.shape, sound=sound),
        )

    def jobs(self, clips: Sequence[Path]) -> Iterator[Job]:
        """Yield the same for :class:`ugc_models.feed.Feed`, whose reader reads the clips."""
        for index, clip in enumerate(clips):
            yield Job(index, Conversation(messages(clip), clip), self.prompt, self.sampling)


def asking(
    checkpoint: Path, media: Sampling, generation: Mapping[str, Any], *, exactly: bool = False
) -> Asking:
    """Return the question as the model ``qwen_omni_vllm`` asks it.

    Args:
        checkpoint: folder; its chat template renders the prompt.
        media: which frames, and how large.
        generation: arguments of generation under lmms-eval's names.
        exactly: write as many tokens as are allowed, whatever the model says.
    """
    chat = Conversation(messages(Path("clip.mp4")), Path("clip.mp4"))
    return Asking(
        ChatTemplate(str(checkpoint)).render(chat),
        sampling_arguments(generation, seed=0) | ({"ignore_eos": True} if exactly else {}),
        media,
        ProcessorInputs(family_of(str(checkpoint))),
    )


def messages(clip: Path) -> list[dict[str, Any]]:
    """Return the conversation about a clip, as a task's ``doc_to_messages`` gives it."""
    content = [{"type": "video", "url": str(clip)}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": content}]
