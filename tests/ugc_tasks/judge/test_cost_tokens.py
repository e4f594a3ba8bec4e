"""Tokens are counted where the encoding is at hand; else they are estimated, and it is said."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import tiktoken

from tests.support.reference import reference_dir
from ugc_tasks.judge.cost import counter_for, estimating
from ugc_tasks.judge.protocol.profiles import rubric_profile

BODY = {"model": "m", "messages": [{"role": "user", "content": "banana bandana"}]}


def small_encoding(name: str = "o200k_base") -> tiktoken.Encoding:
    """A real encoding of tiktoken's: the bytes, and two merges."""
    ranks = {bytes([value]): value for value in range(256)} | {b"an": 256, b"ban": 257}
    return tiktoken.Encoding(
        name, pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 300}
    )


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    counter_for.cache_clear()
    yield
    counter_for.cache_clear()


def test_an_encoding_that_is_at_hand_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "get_encoding", small_encoding)
    counter = counter_for("gpt-4o-2024-08-06")
    assert counter.exact
    assert "o200k_base" in counter.how
    # ban|an|a, a space, ban|d|an|a; three for the message, three for the reply
    assert counter.request(BODY) == 3 + 1 + 4 + 3 + 3


def test_text_that_looks_like_a_control_token_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "get_encoding", small_encoding)
    body = {"messages": [{"content": "<|endoftext|> \ud800"}]}
    assert counter_for("gpt-4o").request(body) == len("<|endoftext|>") + 1 + 1 + 6


def test_the_schema_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    request = rubric_profile().request("v", "A caption.", "A reference.")
    bare = {name: value for name, value in request.items() if name != "response_format"}
    counter = estimating("a test")
    assert counter.request(request) > counter.request(bare) + 20


def test_a_model_that_is_nobodys_is_estimated_and_said() -> None:
    counter = counter_for("Qwen/Qwen3-32B")
    assert not counter.exact
    assert "estimated" in counter.how
    assert "Qwen/Qwen3-32B" in counter.how


@pytest.mark.parametrize("error", [OSError("no network"), ValueError("hash"), RuntimeError()])
def test_an_encoding_that_cannot_be_fetched_is_estimated_and_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(tiktoken, "get_encoding", fail)
    counter = counter_for("gpt-4o-2024-08-06")
    assert not counter.exact
    assert "o200k_base could not be fetched" in counter.how


def test_an_encoding_that_cannot_be_fetched_is_not_tried_for_again_by_each_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def fail(name: str) -> None:
        tried.append(name)
        raise OSError

    monkeypatch.setattr(tiktoken, "get_encoding", fail)
    for _ in range(3):
        assert not counter_for("gpt-4o-2024-08-06").exact
    assert tried == ["o200k_base"]


def test_a_network_that_swallows_everything_does_not_hold_up_the_end_of_the_run() -> None:
    program = """
import threading, tiktoken
from ugc_tasks.judge.cost import counter_for
tiktoken.get_encoding = lambda _: threading.Event().wait()
print(counter_for("gpt-4o-2024-08-06", within=0.1).exact)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "False\n"


def test_a_network_that_swallows_everything_does_not_hold_up_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = threading.Event()
    ended: list[bool] = []
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: ended.append(end.wait(240)))
    try:
        assert not counter_for("gpt-4o-2024-08-06", within=0.2).exact
        assert ended == []
    finally:
        end.set()


def test_the_estimate_lies_near_the_count_of_the_published_texts() -> None:
    """Counted with o200k_base: 378 for the judge's prompt, 220,271 for the 999 references."""
    reference = reference_dir()
    counter = estimating("a test")

    def tokens(*texts: str) -> int:
        return sum(counter.request({"messages": [{"content": text}]}) - 6 for text in texts)

    system = (reference / "prompts" / "caption_judge_system.txt").read_text()
    annotations: dict[str, Any] = json.loads(
        (reference / "questions" / "final_caption_qa.json").read_text()
    )
    answers = [sample["answer"] for sample in annotations["samples"]]
    assert 1.0 <= tokens(system) / 378 <= 1.2
    assert 1.0 <= tokens(*answers) / 220_271 <= 1.2


@pytest.mark.parametrize("text", ["这是一个视频，人们在跳舞", "Это видео", "👍🔥😂", ""])
def test_other_scripts_are_not_estimated_too_low(text: str) -> None:
    assert estimating("a test").request({"messages": [{"content": text}]}) - 6 >= len(text) * 0.7
