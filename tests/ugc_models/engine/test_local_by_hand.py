"""What vLLM is started with and asked, and what is made of what it says; it starts elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ugc_models.engine.base import EngineOutput, EngineRequest, VideoInput
from ugc_models.engine.local import EngineDied, EngineStartError, LocalEngine

RANKS = [
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
]


def said(text: str, *, finished: bool = True, reason: str | None = "stop") -> Any:
    """Return what vLLM gives out of a request."""
    best = SimpleNamespace(text=text, finish_reason=reason, token_ids=[4, 5])
    return SimpleNamespace(outputs=[best], prompt_token_ids=[1, 2, 3], finished=finished)


def loops_since(before: Sequence[threading.Thread]) -> list[str]:
    """Return the event loops of engines that run, less those of engines from before."""
    running = [thread for thread in threading.enumerate() if thread not in before]
    return [thread.name for thread in running if thread.name == "ugc-engine"]


class FakeLLM:
    """Stands for vLLM's ``AsyncLLM``; it notes what it is started with and asked."""

    def __init__(self) -> None:
        self.arguments: Any = None
        self.context: Any = None
        self.environment: dict[str, str] = {}
        self.blocked: set[int] = set()
        self.asked: list[tuple[Any, Any, str]] = []
        self.shutdowns = 0
        self.behaviour: Callable[[], AsyncIterator[Any]] = self.answering

    async def answering(self) -> AsyncIterator[Any]:
        yield said("A c", finished=False, reason=None)
        yield said("A cat.")

    def generate(
        self, prompt: Any, sampling: Any, name: str, *, tokenization_kwargs: Any
    ) -> AsyncIterator[Any]:
        # The prompt is a rendered template, which has the marks that a tokenizer would add.
        assert tokenization_kwargs == {"add_special_tokens": False}
        self.asked.append((prompt, sampling, name))
        return self.behaviour()

    def shutdown(self) -> None:
        self.shutdowns += 1


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> FakeLLM:
    from vllm.v1.engine.async_llm import AsyncLLM

    fake = FakeLLM()

    def from_engine_args(arguments: Any, *, usage_context: Any) -> FakeLLM:
        fake.arguments, fake.context = arguments, usage_context
        fake.environment = dict(os.environ)
        fake.blocked = set(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        return fake

    monkeypatch.setattr(AsyncLLM, "from_engine_args", from_engine_args)
    monkeypatch.delenv("VLLM_PLUGINS", raising=False)
    monkeypatch.delenv("VLLM_WORKER_MULTIPROC_METHOD", raising=False)
    return fake


Start = Callable[..., LocalEngine]


@pytest.fixture
def start(llm: FakeLLM, tmp_path: Path) -> Iterator[Start]:
    started: list[LocalEngine] = []

    def start(variables: dict[str, str] | None = None, **arguments: Any) -> LocalEngine:
        started.append(LocalEngine(str(tmp_path), arguments, variables))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


def question(index: int = 0, **more: Any) -> EngineRequest:
    values = {
        "media": (),
        "parameters": {"max_tokens": 7, "seed": 3},
    }
    return EngineRequest(index, "What is it?", **values | more)


def ask(engine: LocalEngine, request: EngineRequest | None = None) -> EngineOutput:
    return engine.submit(request or question()).result(timeout=120)


class TestStarting:
    def test_has_our_defaults_where_nothing_else_is_said(
        self, start: Start, llm: FakeLLM, tmp_path: Path
    ) -> None:
        start(dtype="float32")
        assert (llm.arguments.model, llm.arguments.dtype) == (str(tmp_path), "float32")
        assert llm.arguments.limit_mm_per_prompt == {"video": 64, "audio": 64, "image": 256}
        assert llm.arguments.mm_processor_cache_gb == 0
        assert llm.arguments.renderer_num_workers == 4
        assert llm.arguments.enable_chunked_prefill is False, "on a CPU"
        assert llm.context.name == "LLM_CLASS"

    def test_has_what_is_said_instead(self, start: Start, llm: FakeLLM) -> None:
        start(limit_mm_per_prompt={"video": 1}, renderer_num_workers=1, enable_chunked_prefill=True)
        assert llm.arguments.limit_mm_per_prompt == {"video": 1}
        assert llm.arguments.renderer_num_workers == 1
        assert llm.arguments.enable_chunked_prefill is True

    def test_leaves_a_name_away_that_this_vllm_does_not_know(
        self, start: Start, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs

        known = dict(AsyncEngineArgs.__dataclass_fields__)
        del known["renderer_num_workers"]
        monkeypatch.setattr(AsyncEngineArgs, "__dataclass_fields__", known)
        assert "renderer_num_workers" not in start().arguments

    def test_its_processes_inherit_what_is_theirs_and_nothing_of_ranks(
        self, start: Start, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in RANKS:
            monkeypatch.setenv(name, "7")
        monkeypatch.setenv("VLLM_PLUGINS", "mine")
        start({"CUDA_VISIBLE_DEVICES": "2,3"})
        assert set(RANKS).isdisjoint(llm.environment)
        assert llm.environment["CUDA_VISIBLE_DEVICES"] == "2,3"
        assert llm.environment["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
        assert llm.environment["UGC_ENGINE_OWNER"].split()[0] == str(os.getpid())
        plugins = llm.environment["VLLM_PLUGINS"].split(",")
        assert plugins == ["mine", "ugc_omni_positions", "ugc_engine_owner"]
        assert {os.environ[name] for name in RANKS} == {"7"}
        assert "UGC_ENGINE_OWNER" not in os.environ

    def test_ctrl_c_is_not_theirs(self, start: Start, llm: FakeLLM) -> None:
        start()
        assert signal.SIGINT in llm.blocked
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def test_that_fails_is_one_line_and_leaves_no_thread(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from vllm.v1.engine.async_llm import AsyncLLM

        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("no\nmemory")

        monkeypatch.setattr(AsyncLLM, "from_engine_args", fail)
        before = threading.enumerate()
        with pytest.raises(EngineStartError, match=r"with model='/.*\(RuntimeError: no memory"):
            start()
        assert not loops_since(before)


class TestAsking:
    def test_a_clip_goes_with_its_prompt_and_its_options(self, start: Start, llm: FakeLLM) -> None:
        frames, sound = np.zeros((2, 28, 28, 3), np.uint8), np.zeros(1_600, np.float32)
        engine = start()
        clip = VideoInput(frames, 2.0, sound)
        ask(engine, question(media=(clip,), processor={"fps": 2.0}))
        ask(engine, question(media=(VideoInput(frames, 2.0),)))
        ask(engine)
        (heard, sampling, first), (seen, _, second), (read, _, _) = llm.asked
        assert heard["prompt"] == "What is it?"
        assert heard["multi_modal_data"] == {"video": [frames], "audio": [sound]}
        assert heard["mm_processor_kwargs"] == {"fps": 2.0}
        assert list(seen["multi_modal_data"]) == ["video"]
        assert read == {"prompt": "What is it?"}
        assert (sampling.max_tokens, sampling.seed) == (7, 3)
        assert first != second

    def test_the_last_that_is_said_is_the_answer(self, start: Start) -> None:
        assert ask(start(), question(5)) == EngineOutput(
            5, "A cat.", finish_reason="stop", prompt_tokens=3, output_ids=(4, 5)
        )

    @pytest.mark.parametrize("words", [[], [said("A c", finished=False)]])
    def test_one_that_breaks_off_is_a_lost_request(
        self, start: Start, llm: FakeLLM, words: list[Any]
    ) -> None:
        async def breaking_off() -> AsyncIterator[Any]:
            for word in words:
                yield word

        llm.behaviour = breaking_off
        assert ask(start()) == EngineOutput(0, error="the engine lost the request")

    @pytest.mark.parametrize(
        ("error", "overflow"),
        [
            (ValueError("temperature\nmust be non-negative"), False),
            (ValueError("longer than the maximum model length of 8192"), True),
            (ValueError("this model's maximum context length is 8192 tokens"), True),
        ],
    )
    def test_what_is_refused_is_an_answer_with_the_reason(
        self, start: Start, llm: FakeLLM, error: Exception, overflow: bool
    ) -> None:
        async def refusing() -> AsyncIterator[Any]:
            raise RuntimeError("an error occurred") from error
            yield

        llm.behaviour = refusing
        answer = ask(start(), question(5))
        reason = " ".join(str(error).split())
        assert answer.error == f"the engine refused it: ValueError: {reason}"
        assert (answer.index, answer.overflow) == (5, overflow)

    def test_an_overflow_is_known_by_what_vllm_calls_it_too(
        self, start: Start, llm: FakeLLM
    ) -> None:
        async def refusing() -> AsyncIterator[Any]:
            error = ValueError("too many tokens")
            error.parameter = "input_tokens"  # type: ignore[attr-defined]
            raise error
            yield

        llm.behaviour = refusing
        assert ask(start()).overflow

    def test_a_dead_engine_is_no_answer(self, start: Start, llm: FakeLLM) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        async def dead() -> AsyncIterator[Any]:
            raise EngineDeadError
            yield

        llm.behaviour = dead
        with pytest.raises(EngineDied):
            ask(start())


class TestSilence:
    def test_counts_from_the_last_word_and_only_while_an_answer_is_owed(
        self, start: Start, llm: FakeLLM
    ) -> None:
        speak, stop = threading.Event(), threading.Event()

        async def slow() -> AsyncIterator[Any]:
            while not speak.is_set():
                await asyncio.sleep(0.005)
            yield said("A c", finished=False)
            while not stop.is_set():
                await asyncio.sleep(0.005)
            yield said("A cat.")

        llm.behaviour = slow
        engine = start()
        time.sleep(0.3)
        assert engine.stalled() == 0.0
        asked = time.monotonic()
        future = engine.submit(question())
        assert engine.stalled() <= time.monotonic() - asked, "it was idle before, not silent"
        while engine.stalled() < 0.3:
            time.sleep(0.01)
        before = time.monotonic()
        speak.set()
        while engine.stalled() > time.monotonic() - before:
            assert time.monotonic() - before < 120
            time.sleep(0.001)
        stop.set()
        future.result(timeout=120)
        while engine.stalled():
            assert time.monotonic() - before < 120
            time.sleep(0.001)

    def test_of_one_request_is_none_while_another_is_answered(
        self, start: Start, llm: FakeLLM
    ) -> None:
        engine = start()

        async def mute() -> AsyncIterator[Any]:
            await asyncio.sleep(3600)
            yield said("never")

        llm.behaviour = mute
        engine.submit(question(0))
        while engine.stalled() < 0.3:
            time.sleep(0.01)
        llm.behaviour = llm.answering
        before = time.monotonic()
        ask(engine, question(1))
        assert 0.0 < engine.stalled() <= time.monotonic() - before


class TestTheEnd:
    def test_stops_the_engine_once_and_cancels_what_is_open(
        self, start: Start, llm: FakeLLM
    ) -> None:
        async def mute() -> AsyncIterator[Any]:
            await asyncio.sleep(3600)
            yield said("never")

        llm.behaviour = mute
        before = threading.enumerate()
        engine = start()
        future = engine.submit(question())
        while not llm.asked:
            time.sleep(0.001)
        engine.close()
        engine.close()
        assert llm.shutdowns == 1
        with pytest.raises(CancelledError):
            future.result(timeout=120)
        assert not loops_since(before)
