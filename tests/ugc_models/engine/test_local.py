"""The engine takes requests as they become ready, answers each, and survives what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.transformers_reference import Reference
from ugc_models.engine.local import (
    DEFAULTS,
    Answer,
    EngineStartError,
    LocalEngine,
    Request,
    engine_argument_names,
    video_options,
)

pytestmark = pytest.mark.engine

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def question(index: int, words: str = "What is it?", *, tokens: int = 8, **more: Any) -> Request:
    sampling = {"temperature": 0.0, "max_tokens": tokens, "ignore_eos": True, **more}
    return Request(index, TURN.format(words), None, None, None, sampling)


class Script:
    """A source that has what the test says, when it says so.

    ``None`` in the script is a moment at which nothing is ready; a caller that blocks waits it out.
    """

    def __init__(self, script: Sequence[Request | None]) -> None:
        self._script = list(script)
        self.given = 0
        self.blocked: list[bool] = []

    def next_request(self, *, block: bool) -> Request | None:
        self.blocked.append(block)
        while self._script:
            step = self._script.pop(0)
            if step is not None:
                self.given += 1
                return step
            if not block:
                return None
        return None


def run(engine: LocalEngine, script: Sequence[Request | None], at_once: int = 4) -> list[Answer]:
    return list(engine.run(Script(script), max_in_flight=at_once))


class TestAnswers:
    def test_every_request_has_one_under_its_own_number(self, engine: LocalEngine) -> None:
        answers = run(engine, [question(i) for i in (5, 3, 11, 7, 2, 13)])
        assert sorted(answer.index for answer in answers) == [2, 3, 5, 7, 11, 13]
        assert all(answer.error is None and answer.text for answer in answers)

    def test_nothing_asked_is_nothing_answered(self, engine: LocalEngine) -> None:
        assert run(engine, []) == []

    def test_tell_the_counts_and_why_they_end(
        self, engine: LocalEngine, reference: Reference
    ) -> None:
        [answer] = run(engine, [question(0, tokens=5)])
        prompt = reference.processor.tokenizer(question(0).prompt)["input_ids"]
        assert answer.prompt_tokens == len(prompt)
        assert len(answer.output_ids) == 5
        assert answer.finish_reason == "length"
        assert answer.text == reference.processor.tokenizer.decode(answer.output_ids)

    def test_a_stop_string_ends_one_and_is_not_in_it(self, engine: LocalEngine) -> None:
        [whole] = run(engine, [question(0, tokens=12)])
        stop = whole.text[len(whole.text) // 2 :]
        [cut] = run(engine, [question(0, tokens=12, stop=[stop])])
        assert cut.finish_reason == "stop"
        assert whole.text.startswith(cut.text)
        assert stop not in cut.text


class TestTheFlow:
    def test_a_request_enters_while_another_runs_and_may_leave_before_it(
        self, engine: LocalEngine
    ) -> None:
        script = Script([question(0, tokens=60), None, None, question(1, tokens=3)])
        answers = list(engine.run(script, max_in_flight=4))
        assert [answer.index for answer in answers] == [1, 0]

    def test_it_waits_for_a_request_only_when_it_has_nothing_to_do(
        self, engine: LocalEngine
    ) -> None:
        script = Script([question(0), None, question(1), None])
        list(engine.run(script, max_in_flight=4))
        # Waits at the start, not while 0 or 1 is in work, and once more to hear that it is over.
        assert (script.blocked[0], script.blocked[-1]) == (True, True)
        assert script.blocked[1:3] == [False, False]

    @pytest.mark.parametrize("at_once", [1, 3])
    def test_no_more_are_taken_than_may_be_in_flight(
        self, at_once: int, engine: LocalEngine
    ) -> None:
        script = Script([question(i, tokens=4 + i) for i in range(7)])
        for done, _ in enumerate(engine.run(script, max_in_flight=at_once)):
            assert script.given - done <= at_once

    def test_what_was_given_up_is_not_worked_on_any_more(self, engine: LocalEngine) -> None:
        answers = engine.run(
            Script([question(0, tokens=2), question(1, tokens=500)]), max_in_flight=2
        )
        assert next(answers).index == 0
        answers.close()  # type: ignore[attr-defined]  # it is a generator
        assert not engine._llm.llm_engine.has_unfinished_requests()
        assert [answer.index for answer in run(engine, [question(2)])] == [2]

    def test_an_error_of_the_source_comes_out_and_the_engine_can_go_on(
        self, engine: LocalEngine
    ) -> None:
        class Failing(Script):
            def next_request(self, *, block: bool) -> Request | None:
                if self.given:
                    raise LookupError("no such document")
                return super().next_request(block=block)

        with pytest.raises(LookupError, match="no such document"):
            list(engine.run(Failing([question(0)]), max_in_flight=2))
        assert [answer.index for answer in run(engine, [question(1)])] == [1]


class TestRefusals:
    def test_a_prompt_that_is_too_long_is_refused_alone(self, engine: LocalEngine) -> None:
        long = question(1, "word " * 20_000)
        answers = {a.index: a for a in run(engine, [question(0), long, question(2)])}
        assert answers[1].error is not None
        assert answers[1].error.startswith("the engine refused it: ")
        assert "8192" in answers[1].error
        assert (answers[1].text, answers[1].output_ids) == ("", ())
        [alone] = run(engine, [question(0)])
        assert [answers[i].output_ids for i in (0, 2)] == [alone.output_ids] * 2

    def test_so_is_one_with_sampling_arguments_that_vllm_does_not_take(
        self, engine: LocalEngine
    ) -> None:
        answers = {a.index: a for a in run(engine, [question(0, top_p=7.0), question(1)])}
        assert "top_p" in (answers[0].error or "")
        assert answers[1].error is None

    def test_so_is_sound_without_a_place_in_the_prompt(self, engine: LocalEngine) -> None:
        frames = np.zeros((2, 56, 56, 3), np.uint8)
        stray = Request(0, TURN.format("?"), frames, 2.0, np.zeros(16_000, np.float32), {})
        answers = {a.index: a for a in run(engine, [stray, question(1)])}
        assert answers[0].error is not None
        assert answers[1].error is None

    def test_the_reason_is_one_line_of_bounded_length(self, engine: LocalEngine) -> None:
        [answer] = run(engine, [question(0, "word " * 20_000)])
        assert answer.error is not None
        assert "\n" not in answer.error
        assert len(answer.error) < 400


class TestVideoOptions:
    def test_say_the_rate_to_both_parts_of_vllm(self) -> None:
        options = video_options(0.5, (8, 56, 84, 3))
        assert (options["fps"], options["second_per_grid_ts"]) == (0.5, [4.0])

    @pytest.mark.parametrize(
        ("count", "height", "width"),
        [(1, 28, 28), (2, 28, 28), (7, 56, 84), (32, 420, 224), (2, 1092, 1932)],
    )
    def test_the_processor_keeps_every_frame_at_its_size(
        self, count: int, height: int, width: int, reference: Reference
    ) -> None:
        frames = np.zeros((count, height, width, 3), np.uint8)
        options = video_options(2.0, frames.shape)
        del options["fps"], options["second_per_grid_ts"]  # not the video processor's
        processed = reference.processor.video_processor(
            videos=[frames], return_tensors="pt", **options
        )
        steps = (count + 1) // 2
        assert processed["video_grid_thw"].tolist() == [[steps, height // 14, width // 14]]


class TestStarting:
    def test_our_defaults_are_names_that_vllm_knows(self) -> None:
        assert set(DEFAULTS) <= engine_argument_names()

    def test_arguments_win_over_our_defaults(self, engine: LocalEngine) -> None:
        assert engine.arguments["mm_processor_cache_gb"] == 0
        assert engine.arguments["max_num_seqs"] == 4

    def test_a_checkpoint_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(EngineStartError, match=r"does not start with model=.*nowhere"):
            LocalEngine(str(tmp_path / "nowhere"), {})

    def test_without_vllm_it_is_said_what_to_install(self) -> None:
        program = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "vllm":
            raise ModuleNotFoundError("No module named 'vllm'", name=name)

sys.meta_path.insert(0, Absent())
from ugc_models.engine.local import EngineMissing, engine_argument_names
try:
    engine_argument_names()
except EngineMissing as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
        assert "pip install 'ugc-videocap[vllm]'" in done.stdout
        assert "No module named 'vllm'" in done.stdout
