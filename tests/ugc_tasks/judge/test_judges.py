"""Judges have dates and habits: a table says so, and the endpoint before it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import judge_server as act
from tests.support.judge_server import JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from ugc_tasks.judge import judge as judge_module
from ugc_tasks.judge.judges import SOON_DAYS, accepted, day_of, known, lifetime
from ugc_tasks.judge.protocol.profiles import paper_profile
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings
from ugc_tasks.judge.types import JudgeItem

PAPER = "gpt-4o-2024-08-06"
LAST = date(2027, 1, 14)
ITEM = JudgeItem("clip-1", "A caption.", "A reference.")
OTHER = JudgeItem("clip-2", "Another caption.", "A reference.")


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "_told", set())


def at(today: date, **changed: Any) -> JudgeSettings:
    return JudgeSettings(Path("store"), today=today, **changed)


# ---- the table ----


@pytest.mark.parametrize(
    "model", [PAPER, "gpt-4o-2024-11-20", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4.1"]
)
def test_the_judges_of_published_rows_end_in_january(model: str) -> None:
    about = known(model)
    assert (about.shutdown, about.provider, about.reasons) == (LAST, "OpenAI", False)
    assert about.successor == "gpt-6-luna"
    assert about.price is not None


def test_a_reasoning_model_is_known_with_what_it_declines() -> None:
    about = known("gpt-6-luna")
    assert about.reasons
    assert {"temperature", "max_tokens"} <= about.refuses
    assert about.price is not None
    assert about.price.cached_input == 0.01
    assert "$0.1 in ($0.01 cached)" in str(about.price)


def test_a_table_of_ones_own_goes_before_key_by_key(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        f'as_of = "2031-01-02"\n[models."{PAPER}"]\ninput = 1\noutput = 2\n'
        '[models."gpt-6-luna"]\nrefuses = []\n'
        '[models.mine]\nshutdown = 2030-05-01\nsuccessor = "mine-2"\n'
        '[models."gpt-4.1"]\nshutdown = false\n'
    )
    assert known(PAPER, own).shutdown == LAST
    assert known(PAPER, own).price != known(PAPER).price
    assert known("gpt-6-luna", own).refuses == frozenset()
    assert known("gpt-6-luna", own).reasons
    assert (known("mine", own).shutdown, known("mine", own).host) == (date(2030, 5, 1), "")
    assert known("gpt-4.1", own).shutdown is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('shutdown = "soon"', "is no day"),
        ('refuses = "temperature"', "is no list of names"),
        ("reasons = 1", "neither true nor false"),
        ('provider = "nobody"', "there is no 'nobody'"),
        ('same_as = "nobody"', "there is no 'nobody'"),
        ("cached_input = 1", "there is no 'input'"),
        ("input = 1\noutput = 1\ncached_input = -1", "is no number of 0 or more"),
    ],
)
def test_a_row_that_cannot_be_used_is_one_sentence(tmp_path: Path, row: str, said: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'as_of = "2031-01-02"\n[models.m]\n{row}')
    with pytest.raises(JudgeConfigError, match=said):
        known("m", own)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2027-01-14", LAST),
        (" 2027-01-14T08:00:00Z", LAST),
        (1_800_000_000, date(2027, 1, 15)),
        (1_800_000_000_000, date(2027, 1, 15)),
        (LAST, LAST),
        (None, None),
        ("", None),
        ("2027-13-40", None),
        ("January", None),
        (True, None),
        ({"on": 1}, None),
        (1e300, None),
    ],
)
def test_a_day_is_read_in_any_form_that_states_one(value: Any, day: date | None) -> None:
    assert day_of(value) == day


# ---- what is sent ----


def test_what_a_model_declines_is_not_sent_and_it_is_said_why() -> None:
    stated = {"temperature": 1, "max_tokens": 300, "seed": 7}
    sent, why = accepted("gpt-6-luna", stated, known("gpt-6-luna"))
    assert sent == {"max_completion_tokens": 300, "seed": 7}
    assert why == {
        "temperature": "gpt-6-luna takes none while it reasons",
        "max_tokens": "gpt-6-luna takes max_completion_tokens in its place",
    }
    assert accepted(PAPER, stated, known(PAPER)) == (stated, {})


def test_a_model_that_is_told_not_to_think_takes_a_temperature() -> None:
    stated = {"temperature": 0, "reasoning_effort": "none"}
    assert accepted("gpt-6-luna", stated, known("gpt-6-luna")) == (stated, {})


def test_an_effort_that_a_model_does_not_know_is_refused() -> None:
    with pytest.raises(
        JudgeConfigError, match="no reasoning_effort 'extreme'; it takes none, low,"
    ):
        accepted("gpt-6-luna", {"reasoning_effort": "extreme"}, known("gpt-6-luna"))


# ---- until when ----


@pytest.mark.parametrize(
    ("days", "soon", "over"),
    [(SOON_DAYS + 1, "", False), (SOON_DAYS, "in 90 days", False), (1, "tomorrow", False),
     (0, "today", False), (-1, "", True)],
)  # fmt: skip
def test_the_end_is_said_90_days_before_and_is_over_the_day_after(
    days: int, soon: str, over: bool
) -> None:
    life = lifetime(PAPER, at(LAST - timedelta(days)))
    assert (bool(life.soon), life.over) == (bool(soon), over)
    assert soon in life.soon
    if soon:
        assert "shut down on 2027-01-14" in life.soon
        assert "OpenAI names gpt-6-luna as its successor" in life.soon


def test_what_the_endpoint_states_goes_before_the_table() -> None:
    today = at(date(2027, 2, 1))
    assert lifetime(PAPER, today).over
    assert not lifetime(PAPER, today, stated={"id": PAPER, "shutdown_date": "2027-06-01"}).over
    assert not lifetime(PAPER, today, stated={"id": PAPER, "shutdown_date": None}).over
    assert lifetime(PAPER, today, stated={"id": PAPER}).over
    assert lifetime(PAPER, today, stated={"shutdown_date": "when it is ready"}).over
    assert lifetime(PAPER, today, stated=["what?"]).over


def test_the_dates_of_a_provider_are_those_of_its_own_host() -> None:
    assert not lifetime(PAPER, at(date(2027, 2, 1), base_url="http://localhost:8000/v1")).over


def test_without_a_day_of_ones_own_it_is_today(monkeypatch: pytest.MonkeyPatch) -> None:
    life = lifetime("m", JudgeSettings(Path("store")))
    assert abs((life.today - datetime.now(UTC).date()).days) <= 1


def test_a_retired_model_is_told_from_a_mistyped_one() -> None:
    early, late = date(2026, 6, 1), date(2027, 2, 1)
    elsewhere = {"base_url": "http://gateway/v1"}
    assert "it was shut down on 2027-01-14" in lifetime(PAPER, at(late, **elsewhere)).not_served(
        "404"
    )
    assert "it has been retired" in lifetime("m", at(early)).not_served(
        "404 (The model `m` has been deprecated)"
    )
    typo = lifetime("gpt-4o-2024-08-60", at(early)).not_served("404 (no such model)")
    assert "check OPENAI_BASE_URL and UGC_JUDGE_MODEL" in typo
    assert f"is {PAPER} or" in typo
    assert lifetime(PAPER, at(early)).not_served("404").endswith("and UGC_JUDGE_MODEL")


# ---- a run ----


def on(server: JudgeServer, day: date) -> None:
    server.models[PAPER] = {"id": PAPER, "object": "model", "shutdown_date": day.isoformat()}


TODAY = date(2026, 11, 28)


def test_a_judge_that_ends_next_week_is_said_once(
    server: JudgeServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    on(server, date(2026, 12, 5))
    for item in (ITEM, OTHER):
        assert open_judge(today=TODAY).judge_many([item], progress=False)[0].scores
    said = capsys.readouterr().err
    assert said.count(f"judge: {PAPER} is shut down on 2026-12-05 (in 7 days)") == 1


def test_a_judge_that_ended_last_week_is_not_asked(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    on(server, date(2026, 11, 21))
    with pytest.raises(JudgeConfigError) as caught:
        open_judge(today=TODAY).judge_many([ITEM], progress=False)
    said = str(caught.value)
    for way in (
        "shut down on 2026-11-21",
        "UGC_JUDGE_MODEL",
        "bridge",
        "UGC_JUDGE_PROFILE=offline",
    ):
        assert way in said
    assert not server.requests


def test_what_is_on_disk_is_of_use_for_ever(
    server: JudgeServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_judge().judge_many([ITEM], progress=False)[0]
    on(server, date(2026, 11, 21))
    server.asked_about.clear()
    later = open_judge(today=TODAY)
    after = later.judge_many([ITEM], progress=False)[0]
    assert (after.scores, after.stored) == (before.scores, True)
    assert not server.asked_about, "all is stored, so nothing is asked"
    kept, lost = later.judge_many([ITEM, OTHER], progress=False)
    assert kept.scores == before.scores
    assert "was shut down on 2026-11-21" in str(lost.failure)
    assert len(server.requests) == 1
    assert "what is on disk of it is used, and nothing is asked" in capsys.readouterr().err


def test_before_answers_are_there_it_is_for_the_run_to_say_whether_it_goes_on(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    judge = open_judge(today=TODAY)
    judge.check_end()
    assert judge.ended == ""
    on(server, date(2026, 11, 21))
    judge.check_end()
    assert judge.ended.startswith(f"{PAPER} was shut down on 2026-11-21: choose another judge")
    with pytest.raises(JudgeConfigError, match="no judgment of these answers is on disk"):
        judge.check_end([ITEM])


def test_an_endpoint_that_tells_nothing_is_no_trouble(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    for told in (None, {}, {"shutdown_date": 7}, {"data": {"shutdown_date": None}}):
        server.models = {} if told is None else {PAPER: told}
        judge = open_judge(today=TODAY)
        judge.check_end()
        assert judge.judge_many([ITEM], progress=False)[0].scores


def test_a_404_says_which_of_the_two_it_is(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = lambda _: act.status(404, "The model does not exist", error_code="not_found")
    retired = open_judge(today=date(2027, 2, 1)).judge_many([ITEM], progress=False)[0]
    assert "it was shut down on 2027-01-14: choose another judge" in str(retired.failure)
    mistyped = open_judge(profile=paper_profile("Grade.", "gpt-6-lunar"))
    failure = str(mistyped.judge_many([ITEM], progress=False)[0].failure)
    assert "check OPENAI_BASE_URL and UGC_JUDGE_MODEL (gpt-6-lunar; is gpt-6-luna" in failure


# ---- a judge that thinks ----


def thinking(content: str, finish: str = "stop", tokens: int = 512, **usage: Any) -> act.Act:
    answer = act.completion(content, finish)
    answer["usage"] = {
        "prompt_tokens": 1000, "completion_tokens": tokens, "total_tokens": 1000 + tokens,
        "completion_tokens_details": {"reasoning_tokens": tokens - 12},
        "prompt_tokens_details": {"cached_tokens": 600}, **usage,
    }  # fmt: skip
    return act.Act(body=json.dumps(answer).encode())


GOOD = '{"visual": 4, "audio": 3, "details": 4}'


def test_what_is_thought_and_what_was_cached_is_in_the_cost(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda _: thinking(GOOD)
    judge = open_judge(profile=paper_profile("Grade.", "gpt-6-luna"))
    usage = judge.judge_many([ITEM], progress=False)[0].usage
    assert usage is not None
    assert (usage.cached_tokens, usage.reasoning_tokens) == (600, 500)
    assert usage.usd == pytest.approx((400 * 0.10 + 600 * 0.01 + 512 * 0.50) / 1e6)


def test_thinking_that_is_counted_in_the_total_alone_is_paid_for(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda _: thinking(GOOD, total_tokens=3000)
    usage = open_judge().judge_many([ITEM], progress=False)[0].usage
    assert usage is not None
    assert usage.completion_tokens == 2000


@pytest.mark.parametrize(
    ("content", "parameters", "asked"),
    [
        (GOOD[:20], {"temperature": 1}, 3),  # another try may be shorter
        (GOOD[:20], {}, 3),
        (GOOD[:20], {"temperature": 0}, 1),  # it would be the same again
        ("", {"max_completion_tokens": 512}, 1),  # all the room went into thinking
    ],
)
def test_an_answer_that_is_cut_is_asked_again_where_that_can_help(
    server: JudgeServer,
    open_judge: OpenJudge,
    content: str,
    parameters: dict[str, Any],
    asked: int,
) -> None:
    server.script = lambda _: thinking(content, "length")
    profile = paper_profile("Grade.", "gpt-6-luna", parameters=parameters)
    judgment = open_judge(profile=profile).judge_many([ITEM], progress=False)[0]
    assert judgment.cut
    assert str(judgment.failure).startswith(
        "the reply was cut by its token limit after 512 tokens, 500 of them thinking ("
    )
    assert len(server.requests) == asked


def test_a_budget_counts_what_may_be_thought(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = lambda _: thinking(GOOD)
    judge = open_judge(profile=paper_profile("Grade.", "gpt-6-luna"), budget=0.001)
    failure = judge.judge_many([ITEM], progress=False)[0].failure
    assert "the next request can cost $0.002" in str(failure)
    limited = paper_profile("Grade.", "gpt-6-luna", parameters={"max_completion_tokens": 600})
    assert open_judge(profile=limited, budget=0.001).judge_many([ITEM], progress=False)[0].scores
