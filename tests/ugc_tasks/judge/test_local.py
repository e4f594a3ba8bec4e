"""A judge on this machine: its settings, and what is done without and before its server.

A whole run with one: ``tests/test_local_judge.py``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from ugc_tasks.common.local_model import LocalModelError
from ugc_tasks.judge.cache import JudgmentCache
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.protocol.profiles import (
    ChatProfile,
    JudgeRequests,
    load_profile,
    paper_profile,
    rubric_profile,
)
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings
from ugc_tasks.judge.types import ChatReply, JudgeItem, Judgment, Usage

COMMIT = "a09a35458c702b33eeacc393d103063234e8bc28"
MODEL = f"local:Qwen/Qwen2.5-7B-Instruct@{COMMIT}"
ITEMS = [JudgeItem(f"clip-{n}", f"A dog runs, take {n}.", "A dog runs.") for n in range(20)]


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"w")
    return f"local:{folder}"


def opened(cache: Path, model: str, **environ: str) -> Judge:
    given = {"UGC_JUDGE_PROFILE": "rubric", "UGC_JUDGE_MODEL": model, **environ}
    return open_judge(given, home=None, cache=cache)


# ---- settings ----


def test_it_needs_no_key_and_has_one_that_nobody_knows(tmp_path: Path) -> None:
    settings = JudgeSettings.from_env({"UGC_JUDGE_MODEL": MODEL}, cache=tmp_path)
    assert settings.model == MODEL
    assert settings.endpoint == "local"
    assert len(settings.api_key) >= 32
    assert settings.api_key not in repr(settings)
    assert (settings.timeout, settings.deadline) == (600.0, 7200.0)


def test_what_vllm_is_told_is_part_of_which_judge_it_is(tmp_path: Path) -> None:
    given = {"UGC_JUDGE_MODEL": MODEL, "UGC_JUDGE_LOCAL_ARGS": "--quantization 'fp 8'"}
    settings = JudgeSettings.from_env(given, cache=tmp_path)
    assert settings.local_arguments == ("--quantization", "fp 8")
    assert settings.endpoint == "local --quantization 'fp 8'"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"UGC_JUDGE_MODEL": "local:"}, "UGC_JUDGE_MODEL=local:: names no model"),
        ({"UGC_JUDGE_MODEL": MODEL[:-1]}, "UGC_JUDGE_MODEL=local:Qwen/Qwen2.5-7B-Instruct@"),
        ({"UGC_JUDGE_MODEL": "local:/nowhere"}, "UGC_JUDGE_MODEL=local:/nowhere: is no model"),
        ({"UGC_JUDGE_LOCAL_ARGS": "'"}, "UGC_JUDGE_LOCAL_ARGS is not as a shell wants it"),
        ({"UGC_JUDGE_MODE": "batch"}, "UGC_JUDGE_MODE=batch is for OpenAI's API"),
        ({"WORLD_SIZE": "8"}, "UGC_JUDGE_PROFILE=none, and score the saved ones"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(JudgeConfigError) as caught:
        JudgeSettings.from_env({"UGC_JUDGE_MODEL": MODEL, **changed}, cache=tmp_path)
    assert said in str(caught.value)


# ---- what it is asked ----


def test_every_profile_is_greedy_and_held_to_a_schema() -> None:
    paper, rubric = paper_profile("Grade.", MODEL), rubric_profile(MODEL)
    for profile in (paper, rubric):
        body = profile.request("PI-1", "A caption.", "A reference.")
        assert (body["model"], body["temperature"]) == (MODEL, 0)
        assert body["response_format"]["json_schema"]["strict"] is True
    assert paper.prompt_sha256 != paper_profile("Grade.").prompt_sha256
    assert rubric.prompt_sha256 == rubric_profile().prompt_sha256


@pytest.mark.parametrize("question", ["background", "objects", "audio_caption"])
def test_other_questions_have_their_own_schema(tmp_path: Path, question: str) -> None:
    profile = load_profile("rubric", home=None, cache=tmp_path, model=MODEL, question=question)
    assert isinstance(profile, ChatProfile)
    ours = paper_profile("Grade.", MODEL, profile.question)
    assert ours.response_format == profile.response_format


# ---- before and without its server ----


def test_weights_that_are_missing_are_said_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(LocalModelError, match=f"hf download .* --revision {COMMIT}"):
        opened(tmp_path, MODEL)
    environ = {"UGC_JUDGE_PROFILE": "rubric", "UGC_JUDGE_MODEL": MODEL}
    with open_judge(environ, home=None, cache=tmp_path, command="dry-run") as judge:
        estimate = judge.estimate(ITEMS)
    assert estimate is not None
    assert estimate.usd == 0.0
    assert "free, it runs on this machine" in str(estimate)


def test_it_waits_until_all_captions_are_made(tmp_path: Path, model: str) -> None:
    with opened(tmp_path, model) as judge:
        assert not judge.early
        assert judge.label.startswith("rubric/local:mine@")
        assert str(tmp_path) not in judge.label


def test_what_is_on_disk_needs_no_server(tmp_path: Path, model: str) -> None:
    with opened(tmp_path, model) as judge:
        assert isinstance(judge.profile, ChatProfile)
        requests = JudgeRequests(judge.profile, "local")
        cache = JudgmentCache(tmp_path / "judgments.sqlite3")
        grades = {"visual": 4, "audio": 3, "details": 5}
        for item in ITEMS:
            judgment = Judgment(item.video_id, dict(grades), usage=Usage(9, 9, 0.0))
            cache.add(requests.key(item), ChatReply(json.dumps(grades)), judgment, judge="j")
        cache.close()
        judgments = judge.judge_many(ITEMS, progress=False)
    assert all(each.stored and each.scores == grades for each in judgments)


def test_a_server_that_ends_at_its_start_stops_the_judging_with_its_words(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in the place of Python, which would start vLLM, says what vLLM may."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'INFO all well'\necho 'ValueError: no room'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    started = time.monotonic()
    with opened(tmp_path, model) as judge:
        judgments = judge.judge_many(ITEMS, progress=False)
    assert time.monotonic() - started < 60
    (said,) = {each.failure for each in judgments}
    assert "has ended (ValueError: no room); its log is /" in str(said)
    assert "UGC_JUDGE_LOCAL_ARGS" in str(said)
    log = Path(str(said).partition("its log is ")[2].partition(";")[0])
    assert "INFO all well" in log.read_text()
    log.unlink()


def test_an_interrupt_does_not_wait_for_the_start(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with opened(tmp_path, model) as judge:
        futures = [judge.submit(item) for item in ITEMS]
        time.sleep(1)
        started = time.monotonic()
        assert judge.interrupt()
        judgments = [future.result(timeout=30) for future in futures]
    assert time.monotonic() - started < 30
    assert all("interrupted" in str(each.failure) for each in judgments[1:])
