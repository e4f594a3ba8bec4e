"""Each kind of request that a suite may bring is answered as transformers answers it.

All families, token for token, greedy, in float32; by an engine in process, alone and with others
in flight; with prefix caching and prompts that are computed in pieces; and by ``vllm serve``. The
table at the end of the run says what was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.support.asking import ask
from tests.support.clips import write_clip
from tests.support.engine import QUICK
from tests.support.parity import GREEDY, assert_same
from tests.support.tables import print_at_end
from tests.support.tiny_gemma3n import build_tiny_gemma3n
from tests.support.tiny_qwen3 import QWEN3 as QWEN3_TINY
from tests.support.transformers_reference import Reference
from tests.support.vllm_server import KEY, VllmServer
from ugc_models.engine.base import (
    AudioInput,
    Engine,
    EngineRequest,
    FramesInput,
    ImageInput,
    Medium,
    VideoInput,
)
from ugc_models.engine.family import GEMMA3N, QWEN2_5, QWEN3, Family, ProcessorInputs
from ugc_models.engine.local import LocalEngine
from ugc_models.engine.server.remote import RemoteEngine
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.image import clip_of
from ugc_models.media.limits import Limits
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import VideoFrames
from ugc_models.request.prompt import ChatTemplate, Conversation
from ugc_models.run.inputs import given_of, with_marks
from ugc_models.testing.tiny_model import QWEN2_5 as QWEN2_5_TINY
from ugc_models.testing.tiny_omni import build_tiny_omni

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

FAMILIES: Mapping[str, tuple[Family, Callable[[Path], Path]]] = {
    "Qwen2.5": (QWEN2_5, partial(build_tiny_omni, family=QWEN2_5_TINY)),
    "Qwen3": (QWEN3, partial(build_tiny_omni, family=QWEN3_TINY)),
    "Gemma-3n": (GEMMA3N, build_tiny_gemma3n),
}
ASKED = "What happens?"
Turn = Sequence[Medium | str] | str
"""What a user gives, or what the model said."""


class Media:
    """Noise to be looked at and listened to, of sizes that a family takes, and what files give."""

    def __init__(self, family: Family, folder: Path) -> None:
        self._dice, self._side = np.random.default_rng(3), max(family.token_side, 28)
        self._inputs, self._folder = ProcessorInputs(family), folder

    def pixels(self, *shape: int) -> Any:
        return self._dice.integers(0, 256, (*shape, 3), np.uint8)

    def image(self, width: int, height: int) -> ImageInput:
        return ImageInput(self.pixels(height, width))

    def samples(self, seconds: float) -> Any:
        noise = self._dice.normal(0, 0.2, round(seconds * 16_000)).astype(np.float32)
        return self._inputs.sound(noise)

    def audio(self, seconds: float) -> AudioInput:
        return AudioInput(self.samples(seconds))

    def video(
        self,
        sound: float | None = None,
        fps: float = 2.0,
        *,
        size: tuple[int, int, int] = (4, 2, 3),
    ) -> VideoInput:
        count, rows, columns = size
        frames = self.pixels(count, rows * self._side, columns * self._side)
        return VideoInput(frames, fps, None if sound is None else self.samples(sound))

    def stretch(self) -> Medium:
        path = write_clip(self._folder / "clip.mp4", seconds=6.0)
        clip = read_clip(path, self._sampling(fps=2.0), start=1.7, end=4.9)
        return self._given(clip)

    def pictures(self) -> Medium:
        frames = [PIL.Image.fromarray(self.pixels(90, 120)) for _ in range(5)]
        return self._given(clip_of(VideoFrames(frames, 1.0), self._sampling(), Limits()))

    def _sampling(self, **more: Any) -> Sampling:
        return Sampling(factor=self._side, max_pixels=12 * self._side**2, **more)

    def _given(self, clip: Clip) -> Medium:
        [[medium, *beside]] = given_of([clip], self._inputs)
        for sound in beside:  # as one again, for :func:`parts_of`
            assert isinstance(medium, FramesInput) and isinstance(sound, AudioInput)
            medium = replace(medium, sound=sound.samples)
        return medium


def _large(m: Media) -> VideoInput:
    return m.video(3.1, size=(6, 3, 2))


KINDS: Mapping[str, Callable[[Media], list[Turn]]] = {
    "text alone": lambda _: [[ASKED]],
    "one image": lambda m: [[m.image(100, 80), ASKED]],
    "three images, text between": lambda m: [
        [m.image(100, 80), "and", m.image(57, 133), "or", m.image(300, 40), ASKED]
    ],
    "images at the limits of size": lambda m: [
        [m.image(1, 1), m.image(190, 1), m.image(1300, 900), ASKED]
    ],
    "one audio": lambda m: [[m.audio(1.3), ASKED]],
    "two audios": lambda m: [[m.audio(1.3), "and", m.audio(2.71), ASKED]],
    "video": lambda m: [[m.video(), ASKED]],
    "video with sound": lambda m: [[m.video(2.2), ASKED]],
    "two videos with sound": lambda m: [[m.video(2.2), "and", _large(m), ASKED]],
    "two videos with sound, two rates": lambda m: [
        [m.video(12.2, 0.4), "and", m.video(5.5, 13 / 6, size=(7, 3, 2)), ASKED]
    ],
    "two silent videos, two rates": lambda m: [[m.video(fps=3.0), m.video(fps=0.7), ASKED]],
    "two videos, one silent": lambda m: [[m.video(), m.audio(2.1), "and", m.video(), ASKED]],
    "video with sound, image, audio": lambda m: [
        [m.video(2.2), "then", m.image(100, 80), m.audio(1.7), ASKED]
    ],
    "audios before and after videos": lambda m: [
        [m.audio(1.7), m.video(2.2), m.audio(0.9), m.image(90, 90), m.video(3.3, 1.0), ASKED]
    ],
    "three turns, media in two": lambda m: [
        [m.image(80, 60), "What is it?"], "A dog.", [m.video(2.2), "And this?"], "A cat.", ["Sure?"]
    ],
    "a stretch of a video": lambda m: [[m.stretch(), ASKED]],
    "frames as pictures": lambda m: [[m.pictures(), ASKED]],
    "a picture as a ribbon with short sound": lambda m: [[m.video(0.3, size=(1, 24, 1)), ASKED]],
    "a sound of 0.3 s": lambda m: [[m.audio(0.3), ASKED]],
    "sounds of 0.2 and 0.6 s": lambda m: [[m.audio(0.2), "and", m.audio(0.6), ASKED]],
    "sounds of 0.4 and 1.7 s": lambda m: [[m.audio(0.4), "and", m.audio(1.7), ASKED]],
}  # fmt: skip
NAMES = {VideoInput: "video", FramesInput: "video", ImageInput: "image", AudioInput: "audio"}


@dataclass(frozen=True)
class Subject:
    """A checkpoint of a family, with the requests and the reference's answers."""

    family: Family
    checkpoint: Path
    reference: Reference
    requests: Mapping[str, EngineRequest]

    def check(self, way: str, answers: Mapping[str, Any], table: dict[str, list[str]]) -> None:
        """Hold answers against the reference's."""
        # Qwen3's positions are fractions in transformers; see ``engine.positions``.
        whole = self.family.model_type == QWEN3.model_type
        for kind, answer in answers.items():
            request = self.requests[kind]
            how = {"whole_positions": True} if whole else {}
            assert_same(answer, self.reference, request.prompt, request.media, **how)
            table.setdefault(kind, []).append(way)


def parts_of(turn: Turn, family: Family) -> Iterator[Medium | str]:
    """Yield the parts of a turn: for Gemma-3n the frames of a video, and then its sound."""
    for part in [turn] if isinstance(turn, str) else turn:
        if family.takes_videos or not isinstance(part, VideoInput):
            yield part
            continue
        yield FramesInput(part.frames, part.fps)
        if part.sound is not None:
            yield AudioInput(part.sound)


def request_for(
    index: int, turns: list[Turn], template: ChatTemplate, inputs: ProcessorInputs
) -> EngineRequest:
    """Return the request for a conversation."""
    media: list[Medium] = []
    messages: list[dict[str, Any]] = []
    for turn in turns:
        content: list[dict[str, Any]] = []
        for part in parts_of(turn, inputs.family):
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                media.append(part)
                content.append({"type": NAMES[type(part)]})
        role = "assistant" if isinstance(turn, str) else "user"
        messages.append({"role": role, "content": content})
    prompt = template.render(Conversation(with_marks(messages, media)))
    given = tuple(media)
    return EngineRequest(index, prompt, given, GREEDY, inputs.options(given), messages)


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    family, build = FAMILIES[request.param]
    checkpoint = build(tmp_path_factory.mktemp("kinds") / "tiny")
    template, inputs = ChatTemplate(str(checkpoint)), ProcessorInputs(family)
    media = Media(family, checkpoint.parent)
    requests = {
        kind: request_for(index, make(media), template, inputs)
        for index, (kind, make) in enumerate(KINDS.items())
    }
    return Subject(family, checkpoint, Reference(checkpoint), requests)


@pytest.fixture(scope="module")
def table(subject: Subject, request: pytest.FixtureRequest) -> Iterator[dict[str, list[str]]]:
    """Kind -> ways that agreed; printed at the end."""
    agreed: dict[str, list[str]] = {}
    yield agreed
    rows = [f"  {kind:42}{', '.join(agreed.get(kind, ['-']))}" for kind in KINDS]
    title = f"{subject.family.model_type}: the same tokens as transformers"
    print_at_end(request.config, "\n".join([title, *rows]))


Start = Callable[..., LocalEngine]


@pytest.fixture(scope="module")
def start(subject: Subject) -> Iterator[Start]:
    engines: list[LocalEngine] = []

    def start(**more: Any) -> LocalEngine:
        family = subject.family.model_type
        engines.append(LocalEngine(str(subject.checkpoint), {**QUICK, **more}, family=family))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def in_process(start: Start) -> LocalEngine:
    return start()


@pytest.fixture(scope="module")
def in_pieces(subject: Subject, start: Start) -> LocalEngine:
    # Tokens. An image of Gemma-3n has 256, and shares a line break with the next: both must have
    # room, or vLLM waits for ever.
    most = 40 if subject.family.takes_videos else 600
    more = {"enable_prefix_caching": True, "enable_chunked_prefill": True}
    return start(**more, max_num_batched_tokens=most)


def answers(engine: Engine, asked: Mapping[str, EngineRequest]) -> dict[str, Any]:
    return dict(zip(asked, ask(engine, list(asked.values())), strict=True))


def test_one_after_the_other(
    subject: Subject, in_process: LocalEngine, table: dict[str, list[str]]
) -> None:
    alone = {kind: ask(in_process, [asked])[0] for kind, asked in subject.requests.items()}
    subject.check("alone", alone, table)


def test_all_in_flight(
    subject: Subject, in_process: LocalEngine, table: dict[str, list[str]]
) -> None:
    subject.check("in flight", answers(in_process, subject.requests), table)


SHORT = ("a sound of 0.3 s", "sounds of 0.2 and 0.6 s", "sounds of 0.4 and 1.7 s")


def test_a_short_sound_is_heard_the_same_in_any_company(
    subject: Subject, in_process: LocalEngine
) -> None:
    # Qwen3's encoder pads it to the longest sound that it is given together with it.
    for beside in ("two audios", *SHORT):
        asked = [subject.requests[each] for kind in SHORT for each in (kind, beside)]
        given = ask(in_process, [replace(one, index=at) for at, one in enumerate(asked)])
        subject.check("", dict(zip(SHORT, given[::2], strict=True)), {})


def test_with_prefix_caching_and_in_pieces(
    subject: Subject, in_pieces: LocalEngine, table: dict[str, list[str]]
) -> None:
    subject.check("in pieces", answers(in_pieces, subject.requests), table)
    subject.check("from the cache", answers(in_pieces, subject.requests), table)


SWAPPED: Mapping[str, Callable[[VideoInput, VideoInput], list[VideoInput]]] = {
    "the same sound, other frames": lambda a, b: [replace(a, frames=a.frames[::-1].copy()), b],
    "only the second sound is another": lambda a, b: [a, replace(b, sound=-_sound(b))],
    "sounds exchanged": lambda a, b: [replace(a, sound=_sound(b)), replace(b, sound=_sound(a))],
    "another rate": lambda a, b: [a, replace(b, fps=1.0)],
}


def _sound(video: VideoInput) -> Any:
    assert video.sound is not None
    return video.sound


def test_the_cache_gives_no_media_of_another_request(
    subject: Subject, in_pieces: LocalEngine
) -> None:
    if not subject.family.takes_videos:
        pytest.skip("its sounds have tokens of their own")
    first = subject.requests["two videos with sound"]
    inputs = ProcessorInputs(subject.family)
    asked = {"as it was": first}
    for name, change in SWAPPED.items():
        media = tuple(change(*first.videos))
        asked[name] = replace(first, media=media, processor=inputs.options(media))
    ask(in_pieces, [first])
    subject_ = replace(subject, requests=asked)
    subject_.check("", answers(in_pieces, asked), {})


def test_served(
    subject: Subject,
    table: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    with VllmServer(subject.checkpoint, tmp_path / "server.log") as server:
        server.wait()
        engine = RemoteEngine(server.url, family=subject.family)
        try:
            subject.check("served", answers(engine, subject.requests), table)
        finally:
            engine.close()
