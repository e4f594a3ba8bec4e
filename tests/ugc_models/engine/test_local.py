"""The engine takes requests as they become ready, answers each, and survives what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.support.asking import ask
from tests.support.transformers_reference import Reference
from tests.ugc_models.conftest import SharedEngine
from ugc_models.engine.base import EngineOutput, EngineRequest, VideoInput
from ugc_models.engine.family import ProcessorInputs
from ugc_models.engine.local import (
    DEFAULTS,
    EngineDied,
    EngineStartError,
    LocalEngine,
    engine_argument_names,
)

pytestmark = pytest.mark.engine

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def question(
    index: int, words: str = "What is it?", *, tokens: int = 8, **more: Any
) -> EngineRequest:
    sampling = {"temperature": 0.0, "max_tokens": tokens, "ignore_eos": True, **more}
    return EngineRequest(index, TURN.format(words), (), sampling)


def run(engine: LocalEngine, requests: Sequence[EngineRequest]) -> dict[int, EngineOutput]:
    """Return the answers by the requests' own numbers."""
    answers = {answer.index: answer for answer in ask(engine, requests)}
    assert len(answers) == len(requests)
    return answers


class TestAnswers:
    def test_every_request_has_one_under_its_own_number(self, engine: LocalEngine) -> None:
        answers = run(engine, [question(i) for i in (5, 3, 11, 7, 2, 13)])
        assert sorted(answers) == [2, 3, 5, 7, 11, 13]
        assert all(answer.error is None and answer.text for answer in answers.values())

    def test_tell_the_counts_and_why_they_end(
        self, engine: LocalEngine, reference: Reference
    ) -> None:
        [answer] = ask(engine, [question(0, tokens=5)])
        prompt = reference.processor.tokenizer(question(0).prompt)["input_ids"]
        assert answer.prompt_tokens == len(prompt)
        assert len(answer.output_ids) == 5
        assert answer.finish_reason == "length"
        assert answer.text == reference.processor.tokenizer.decode(answer.output_ids)

    def test_a_stop_string_ends_one_and_is_not_in_it(self, engine: LocalEngine) -> None:
        [whole] = ask(engine, [question(0, tokens=12)])
        stop = whole.text[len(whole.text) // 2 :]
        [cut] = ask(engine, [question(0, tokens=12, stop=[stop])])
        assert cut.finish_reason == "stop"
        assert whole.text.startswith(cut.text)
        assert stop not in cut.text


class TestTheFlow:
    def test_a_request_enters_while_another_runs_and_leaves_before_it(
        self, engine: LocalEngine
    ) -> None:
        order: list[int] = []
        futures = [engine.submit(question(0, tokens=400)), engine.submit(question(1, tokens=3))]
        for future in futures:
            future.add_done_callback(lambda done: order.append(done.result().index))
        wait(futures, timeout=120)
        assert order == [1, 0]

    def test_what_was_given_up_is_not_worked_on_any_more(self, engine: LocalEngine) -> None:
        given_up = engine.submit(question(0, tokens=8000))
        ask(engine, [question(1)])  # by now the first is in work
        assert given_up.cancel()
        ask(engine, [question(2)])
        assert engine._llm.get_num_unfinished_requests() == 0

    def test_it_tells_for_how_long_nothing_came(self, engine: LocalEngine) -> None:
        assert engine.stalled() == 0.0
        future = engine.submit(question(0, tokens=30))
        assert 0.0 <= engine.stalled() < 60.0
        future.result(timeout=120)
        assert engine.stalled() == 0.0


class TestRefusals:
    def test_a_prompt_that_is_too_long_is_refused_alone(self, engine: LocalEngine) -> None:
        long = question(1, "word " * 20_000)
        answers = run(engine, [question(0), long, question(2)])
        assert answers[1].error is not None
        assert answers[1].error.startswith("the engine refused it: ")
        assert "8192" in answers[1].error
        assert answers[1].overflow
        assert not answers[0].overflow
        assert (answers[1].text, answers[1].output_ids) == ("", ())
        [alone] = ask(engine, [question(0)])
        assert [answers[i].output_ids for i in (0, 2)] == [alone.output_ids] * 2

    def test_so_is_one_with_sampling_arguments_that_vllm_does_not_take(
        self, engine: LocalEngine
    ) -> None:
        answers = run(engine, [question(0, top_p=7.0), question(1)])
        assert "top_p" in (answers[0].error or "")
        assert answers[1].error is None

    def test_so_is_sound_without_a_place_in_the_prompt(self, engine: LocalEngine) -> None:
        frames = np.zeros((2, 56, 56, 3), np.uint8)
        sound = np.zeros(16_000, np.float32)
        media = (VideoInput(frames, 2.0, sound),)
        stray = EngineRequest(0, TURN.format("?"), media, {}, ProcessorInputs().options(media))
        answers = run(engine, [stray, question(1)])
        assert answers[0].error is not None
        assert answers[1].error is None

    def test_the_reason_is_one_line_of_bounded_length(self, engine: LocalEngine) -> None:
        [answer] = ask(engine, [question(0, "word " * 20_000)])
        assert answer.error is not None
        assert "\n" not in answer.error
        assert len(answer.error) < 400


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


class TestItsEnd:
    def test_what_was_asked_of_an_engine_that_is_killed_raises(
        self, piecewise_engine: SharedEngine
    ) -> None:
        doomed = piecewise_engine.running()
        try:
            future = doomed.submit(question(0, tokens=8000))
            ask(doomed, [question(1)])
            doomed.kill()
            with pytest.raises(EngineDied):
                future.result(timeout=60)
            with pytest.raises(EngineDied):
                doomed.submit(question(2)).result(timeout=60)
        finally:
            piecewise_engine.stop()  # whoever needs it after this starts another

    @pytest.mark.long
    def test_it_ends_with_the_run_that_started_it(self, checkpoint: Path) -> None:
        """A run that is killed outright leaves no engine behind that holds the GPU."""
        program = f"""
import os, signal
from ugc_models.engine.local import LocalEngine
if __name__ == "__main__":
    engine = LocalEngine({str(checkpoint)!r}, QUICK)
    print(*engine.processes(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        pids = [int(word) for word in done.stdout.split()]
        assert pids
        left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        assert psutil.wait_procs(left, timeout=60)[1] == []
