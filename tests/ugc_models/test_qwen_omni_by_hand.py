"""``qwen_omni_vllm`` from requests to answers, with an engine by hand; the real one elsewhere."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.models import get_model
from lmms_eval.models.model_utils.gen_metrics import (
    get_logged_metrics_history,
    reset_logged_metrics,
)

from tests.support.asking import the_video
from tests.support.clips import write_clip
from tests.support.hand import Hand, answered
from tests.support.tiny_gemma3n import build_tiny_gemma3n
from ugc_models.captions import Caption
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.store import CaptionStoreError

TASK, SPLIT = "some_task", "test"


Make = Callable[..., tuple[Any, Hand]]


@pytest.fixture
def make(checkpoint: Path) -> Make:
    def make(
        answer: Callable[[EngineRequest], EngineOutput] = answered,
        *,
        later: float = 0.0,
        **arguments: Any,
    ) -> tuple[Any, Hand]:
        stated = {"frames": 4, "max_pixels": 3136, "store": "none", "decode_workers": 2}
        line = ",".join(f"{k}={v}" for k, v in {"model": checkpoint, **stated, **arguments}.items())
        model = get_model("qwen_omni_vllm").create_from_arg_string(line, {"batch_size": 1})
        hand = Hand(answer, later)
        model._backend = hand
        return model, hand

    return make


def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
    videos = [{"type": "video", "url": str(path)} for path in doc["videos"]]
    text = {"type": "text", "text": doc["question"]}
    return [{"role": "user", "content": [*videos, text]}]


def ask(
    model: Any, *videos: Path | None, padding: Sequence[int] = (), **generation: Any
) -> list[GenerationResult]:
    """Ask about clips as lmms-eval does; those of ``padding`` only make shares of ranks even."""
    docs = [
        {"videos": [video] if video else [], "question": f"question {number}"}
        for number, video in enumerate(videos)
    ]
    model.task_dict = {TASK: {SPLIT: docs}}
    requests = [
        Instance(
            request_type="generate_until",
            arguments=("", messages, {"max_new_tokens": 8, **generation}, number, TASK, SPLIT),
            idx=0,
            metadata={
                **{"task": TASK, "doc_id": number, "repeats": 1},
                **({"__padding_only__": True} if number in padding else {}),
            },
        )
        for number in range(len(docs))
    ]
    answers: list[GenerationResult] = model.generate_until(requests)
    return answers


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=2)


class TestWhatIsAsked:
    def test_what_only_makes_ranks_even_is_not(self, make: Make) -> None:
        model, hand = make()
        answers = ask(model, None, None, None, padding=[1])
        assert [answer.text for answer in answers] == ["caption 0", "", "caption 1"]
        assert [request.messages[-1]["content"][-1]["text"] for request in hand.asked] == [
            "question 0",
            "question 2",
        ]

    def test_no_more_at_once_than_may_be_in_flight(self, make: Make) -> None:
        model, hand = make(later=0.1, max_in_flight=3)
        answers = ask(model, *[None] * 9)
        assert [answer.text for answer in answers] == [f"caption {n}" for n in range(9)]
        assert hand.most_at_once <= 3

    @pytest.mark.parametrize(("arguments", "seed"), [({}, 0), ({"seed": 7}, 7)])
    def test_each_with_the_model_s_seed_and_the_task_s_settings(
        self, make: Make, arguments: dict[str, Any], seed: int
    ) -> None:
        model, hand = make(**arguments)
        ask(model, None, temperature=0.3)
        assert hand.asked[0].parameters == {"max_tokens": 8, "temperature": 0.3, "seed": seed}

    def test_with_the_sound_as_the_arguments_say(self, make: Make, tmp_path: Path) -> None:
        late = write_clip(tmp_path / "late.mp4", seconds=2, audio_later=lambda _: 0.5)
        heard: list[np.ndarray[Any, Any] | None] = []
        for arguments in ({}, {"align_sound": False}, {"use_audio_in_video": False}):
            model, hand = make(**arguments)
            ask(model, late)
            heard.append(the_video(hand.asked[0]).sound)
        aligned, as_it_lies, none = heard
        assert aligned is not None and not aligned[:6000].any()
        assert as_it_lies is not None and as_it_lies[:6000].any()
        assert none is None

    def test_of_gemma_3n_frames_as_images_then_the_sound_then_the_question(
        self, make: Make, clip: Path, tmp_path: Path
    ) -> None:
        model, hand = make(model=build_tiny_gemma3n(tmp_path / "tiny"))
        [answer] = ask(model, clip)
        [asked] = hand.asked
        assert asked.prompt == (
            f"<bos><start_of_turn>user\n{'<image_soft_token>' * 4}<audio_soft_token>question 0"
            "<end_of_turn>\n<start_of_turn>model\n"
        )
        assert (len(asked.images), len(asked.media)) == (4, 2)
        assert answer.text.generation["frames"] == 4
        assert answer.text.generation["heard"]

    @pytest.mark.parametrize(
        ("on_overflow", "asked"), [("refuse", [4]), ("fewer_frames", [4, 2, 1])]
    )
    def test_with_fewer_frames_only_where_the_arguments_say_so(
        self, make: Make, clip: Path, on_overflow: str, asked: list[int]
    ) -> None:
        def refuse(request: EngineRequest) -> EngineOutput:
            return EngineOutput(request.index, error="too long", overflow=True)

        model, hand = make(refuse, on_overflow=on_overflow)
        [answer] = ask(model, clip)
        assert [len(the_video(r).frames) for r in hand.asked] == asked
        assert isinstance(answer.text, Caption)
        assert answer.text.generation["error"] == "too long"

    def test_as_the_system_message_says(self, make: Make) -> None:
        model, hand = make(system_prompt="Be brief.")
        ask(model, None)
        assert "Be brief." in hand.asked[0].prompt
        assert hand.asked[0].messages[0]["role"] == "system"


class TestWhatIsReported:
    @pytest.fixture(autouse=True)
    def nothing_yet(self) -> None:
        reset_logged_metrics()

    def test_counts_of_this_run_and_what_was_found(
        self, make: Make, clip: Path, tmp_path: Path
    ) -> None:
        model, _ = make(store=tmp_path)
        ask(model, clip, None)
        model, _ = make(store=tmp_path)
        ask(model, clip, None, tmp_path / "missing.mp4", clip)
        first, second = get_logged_metrics_history()
        assert (first["answers_stored"], second["answers_stored"]) == (0, 2)
        assert (first["total_gen_tokens"], second["total_gen_tokens"]) == (4, 2)
        assert (first["requests_heard"], second["requests_heard"]) == (1, 2)
        assert (first["requests_failed"], second["requests_failed"]) == (0, 1)
        assert (second["requests"], second["engine_restarts"], second["rank"]) == (4, 3, 0)

    def test_how_the_caption_was_made(self, make: Make, clip: Path) -> None:
        model, _ = make()
        [answer] = ask(model, clip)
        assert isinstance(answer.text, Caption)
        assert answer.text.generation["decoding"] == (
            "default: 4 frames <=3136px with sound, by hand"
        )
        assert answer.token_counts is not None
        counts = answer.token_counts
        assert (counts.input_tokens, counts.output_tokens) == (9, 2)


class TestAnInterruption:
    """The first Ctrl-C while answers are out."""

    @pytest.mark.parametrize(
        ("store", "said"),
        [
            ("none", "3 of 9 requests are answered; none is kept (store=none)"),
            ("", "3 of 9 requests are answered; run the same command again to go on"),
        ],
    )
    def test_finishes_what_is_in_flight_and_says_what_there_is(
        self, make: Make, tmp_path: Path, store: str, said: str
    ) -> None:
        def answer(request: EngineRequest) -> EngineOutput:
            if request.index == 2:
                signal.raise_signal(signal.SIGINT)
            return answered(request)

        place = store or tmp_path
        model, hand = make(answer, store=place, max_in_flight=1, decode_workers=1)
        with pytest.raises(KeyboardInterrupt) as interrupt:
            ask(model, *[None] * 9)
        assert str(interrupt.value) == said
        assert len(hand.asked) == 3
        if not store:
            model, hand = make(store=place)
            ask(model, *[None] * 9)
            assert len(hand.asked) == 6


class TestFailures:
    def test_a_caption_that_cannot_be_kept_ends_the_run_and_those_before_stay(
        self, make: Make, tmp_path: Path
    ) -> None:
        def answer(request: EngineRequest) -> EngineOutput:
            if request.index == 3:
                model._store._file.execute("PRAGMA query_only=ON")
            return answered(request)

        model, _ = make(answer, store=tmp_path, max_in_flight=1, decode_workers=1)
        with pytest.raises(CaptionStoreError, match="cannot be written"):
            ask(model, *[None] * 6)
        model, hand = make(store=tmp_path)
        ask(model, *[None] * 6)
        assert sorted(request.index for request in hand.asked) == [3, 4, 5]

    def test_an_engine_beyond_use_ends_the_run(self, make: Make) -> None:
        def answer(request: EngineRequest) -> EngineOutput:
            raise RuntimeError("gone")

        model, _ = make(answer)
        with pytest.raises(RuntimeError, match="gone"):
            ask(model, None)

    def test_what_a_stored_caption_should_be_and_is_not_is_said(
        self, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        model, _ = make(store=tmp_path)
        ask(model, None)
        model._store._file.execute("UPDATE captions SET generation = '5'")
        model, hand = make(store=tmp_path)
        ask(model, None)
        assert len(hand.asked) == 1
        assert "that are not as this program writes them are made anew" in caplog.text


def test_what_was_not_answered_on_other_ranks_is_added_when_all_have_answered(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gathered(found: list[Any], mine: Any) -> None:
        found[:] = [mine, mine]

    model, _ = make()
    model._world_size = 2
    ask(model, None, tmp_path / "missing.mp4")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.all_gather_object", gathered)
    model.clean()
    counted = model.evaluation_facts()["unanswered"][TASK]
    assert (counted["requests"], counted["unanswered"]) == (4, 2)


def test_cleaning_up_stops_the_engine(make: Make) -> None:
    model, hand = make()
    model.clean()
    assert hand.closed == 1
