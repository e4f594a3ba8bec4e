"""Tokens are estimated from characters: not below what the published judge counts, and near it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.judge.cost import estimated_tokens
from ugc_tasks.judge.protocol.profiles import rubric_profile


def tokens(*texts: str) -> int:
    """Return the tokens of texts without those of the messages around them."""
    return sum(estimated_tokens({"messages": [{"content": text}]}) - 6 for text in texts)


def test_the_schema_counts() -> None:
    request = rubric_profile().request("v", "A caption.", "A reference.")
    bare = {name: value for name, value in request.items() if name != "response_format"}
    assert estimated_tokens(request) > estimated_tokens(bare) + 20


def test_the_estimate_lies_near_the_count_of_the_published_texts() -> None:
    """Counted with o200k_base: 378 for the judge's prompt, 220,271 for the 999 references."""
    reference = reference_dir()
    system = (reference / "prompts" / "caption_judge_system.txt").read_text()
    annotations: dict[str, Any] = json.loads(
        (reference / "questions" / "final_caption_qa.json").read_text()
    )
    answers = [sample["answer"] for sample in annotations["samples"]]
    assert 1.0 <= tokens(system) / 378 <= 1.2
    assert 1.0 <= tokens(*answers) / 220_271 <= 1.2


@pytest.mark.parametrize("text", ["这是一个视频，人们在跳舞", "Это видео", "👍🔥😂", "half \ud800"])
def test_other_scripts_are_not_estimated_too_low(text: str) -> None:
    assert tokens(text) >= sum(not character.isascii() for character in text)
