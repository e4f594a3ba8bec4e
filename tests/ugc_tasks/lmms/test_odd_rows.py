"""An odd answer costs its own row, and neither lmms-eval's results nor its samples file."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.support.lmms_scoring import reported, scored
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from ugc_tasks.benchmark import SPECS
from ugc_tasks.judge.types import Judgment, Scores
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.facts import run_facts
from ugc_tasks.results.rows import judged_row


class Told(str):
    """An answer with whatever a model tells of it."""

    generation: Any


def told(text: str, generation: Any) -> Told:
    answer = Told(text)
    answer.generation = generation
    return answer


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


GENERATIONS: list[Any] = [
    5,
    ["heard"],
    "heard",
    math.nan,
    {"error": 5},
    {"error": ["broken", math.inf]},
    {"error": "half \ud83d"},
    {"flags": 5},
    {"flags": [1, None]},
    {"flags": "repetition"},
    {"heard": math.nan, "sound_missing": {"a": 1}, "decoding": ["x"]},
    {"tokens": 10**400, "seconds": math.inf, "frames": {1, 2}, 5: "\udc00"},
    deep(5000),
    {"finish_reason": 7},
]
VALUES: list[Any] = [
    None,
    5,
    10**400,
    math.nan,
    True,
    [],
    {},
    [math.nan, 10**400],
    [[["a"]]],
    "\ud83d",
]
WHOLE = "[1e400, 123456789012345678901234567890]"


@pytest.mark.parametrize("name", SPECS)
def test_odd_answers_cost_their_own_rows_alone(
    load_task: LoadTask, make_full_home: MakeHome, name: str
) -> None:
    good = {"tone": "A", "voice_source": "A", "bgm": "No"}.get(name, "A sign says 3.")
    odd = [told(good, generation) for generation in GENERATIONS] + [*VALUES, WHOLE]
    odd += ["[" * 100_000, '{"ocr": ' * 2000, "9" * 5000, '{"a": NaN}']
    make_full_home(len(odd) + 2)
    task = load_task(SPECS[name].task)
    rows = scored(task, [good, *odd, good])
    for row in rows:
        assert json.loads(json.dumps(row, allow_nan=False, ensure_ascii=False).encode()) == row
    metrics = reported(task, rows)
    json.dumps(metrics, allow_nan=False)
    json.dumps(run_facts(rows), allow_nan=False)
    subject = "caption" if "caption" in name else "answer"
    assert rows[0]["failure"] is rows[-1]["failure"] is None
    assert {row["failure"]["kind"] for row in rows if row["failure"]} == {subject}
    reasons = [row["failure"] and row["failure"]["reason"] for row in rows]
    told_reasons = reasons[1 : len(GENERATIONS) + 1]
    assert told_reasons[4:7] == ["5", '["broken", "inf"]', "half ?"]
    assert [r for i, r in enumerate(told_reasons) if r and i not in (4, 5, 6)] == []
    assert reasons[len(GENERATIONS) + 1] == f"the model gave no {subject}"
    if not SPECS[name].judged or name == "caption":
        assert rows[0]["n"]
        assert rows[-1]["n"]
        assert all(bool(row["n"]) != bool(row["failure"]) for row in rows)


def test_what_a_judge_says_is_written_as_utf_8_whatever_it_is() -> None:
    judgment = Judgment("PI-1", Scores(consistent=1.0), reply="yes \ud83d", model="m\udc00")
    row = judged_row(
        "objects",
        "PI-1",
        ModelAnswer("text"),
        judgment,
        judge={"label": "rubric", "estimate": False},
        reference="half \ud83d",
        clip=None,
        wanted=2,
    )
    [said] = row["judge"]["judgments"]
    assert (said["reply"], said["model"], row["reference"]) == ("yes ?", "m?", "half ?")
    json.dumps(row, ensure_ascii=False).encode("utf-8")
