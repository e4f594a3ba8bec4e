"""From lmms-eval's call to vLLM's: few steps of ours, so that a stack is read at a glance."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lmms_eval.api.instance import Instance

from ugc_models.engine.supervisor import Supervisor
from ugc_models.qwen_omni_vllm import QwenOmniVLLM

pytestmark = pytest.mark.engine

MOST = 8


def ours() -> list[str]:
    """Return the functions of this package in the stack, outermost first."""
    return [
        frame.function
        for frame in reversed(inspect.stack())
        if frame.frame.f_globals.get("__name__", "").startswith("ugc_models.")
    ]


def test_at_most_eight_frames_lead_from_generate_until_to_the_engine_s_generate(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way passes through three threads: the caller's, the supervisor's and the engine's."""
    from vllm.v1.engine.async_llm import AsyncLLM

    way: dict[str, list[str]] = {}

    class FakeLLM:
        def generate(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            way["engine"] = ours()
            return self._answer()

        async def _answer(self) -> AsyncIterator[Any]:
            best = SimpleNamespace(text="A cat.", finish_reason="stop", token_ids=[4])
            yield SimpleNamespace(outputs=[best], prompt_token_ids=[1], finished=True)

        def shutdown(self) -> None:
            pass

    def noted(thread: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            # The last is the one in which the request changes threads.
            way[thread] = ours()
            return function(*arguments)

        return call

    monkeypatch.setattr(AsyncLLM, "from_engine_args", lambda *_, **__: FakeLLM())
    model = QwenOmniVLLM(model=str(checkpoint), store="none")
    monkeypatch.setattr(
        asyncio, "run_coroutine_threadsafe", noted("supervisor", asyncio.run_coroutine_threadsafe)
    )
    submit = Supervisor.submit
    monkeypatch.setattr(Supervisor, "submit", noted("caller", submit))
    model.task_dict = {"task": {"test": ["What is a cat?"]}}
    question = [{"role": "user", "content": "What is a cat?"}]
    arguments = ("", lambda _: question, {}, 0, "task", "test")
    metadata = {"task": "task", "doc_id": 0, "repeats": 1}
    request = Instance(request_type="generate_until", arguments=arguments, idx=0, metadata=metadata)
    assert [answer.text for answer in model.generate_until([request])] == ["A cat."]
    way["caller"].append(submit.__name__)
    frames = [*way["caller"], *way["supervisor"], *way["engine"]]
    assert frames[0] == "generate_until"
    assert len(frames) <= MOST, frames
    model.clean()
