"""A real ``vllm serve`` as the judge: any OpenAI-compatible endpoint is one.

The checkpoint is random, so its scores mean nothing; that they are scores at all is the schema's
doing, and that the judge says who gave them is ours.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.vllm_server import KEY, VllmServer
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.types import JudgeItem

pytestmark = pytest.mark.engine

ITEMS = [
    JudgeItem(f"clip-{n}", f"A dog runs, take {n}; music plays.", "A dog runs on a beach to music.")
    for n in range(3)
]


@pytest.fixture
def judge(vllm_server: VllmServer, tmp_path: Path) -> Judge:
    vllm_server.wait()
    return open_judge(
        {
            "UGC_JUDGE_PROFILE": "rubric",
            "UGC_JUDGE_MODEL": "tiny",
            "OPENAI_BASE_URL": f"{vllm_server.url}/v1",
            "OPENAI_API_KEY": KEY,
            "UGC_JUDGE_TIMEOUT": "120",
        },
        home=None,
        cache=tmp_path,
    )


def test_its_replies_have_the_schema_and_are_kept_under_its_name(
    judge: Judge, vllm_server: VllmServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with judge:
        judgments = judge.judge_many(ITEMS, progress=False)
        again = judge.judge_many(ITEMS, progress=False)
        facts = judge.describe()
    assert [judgment.failure for judgment in judgments] == [None] * 3, judgments
    for judgment in judgments:
        assert judgment.scores is not None
        assert all(value in range(1, 6) for value in judgment.scores.values())
        assert set(json.loads(judgment.reply or "")) >= {"visual", "audio", "details"}
        assert judgment.model == "tiny"
        assert judgment.usage is not None
        assert judgment.usage.prompt_tokens > 0
        assert judgment.usage.usd is None, "nobody knows what it costs"
    assert all(judgment.stored for judgment in again)
    place = vllm_server.url.removeprefix("http://") + "/v1"
    assert facts["endpoint"] == place
    assert facts["label"].endswith(f"@{place}")
    said = capsys.readouterr().err
    assert "tokens (estimated)" in said
    assert "what that costs is not known" in said
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
