"""The conductor: many clips at once, each asked once, nothing lost, and no failure is a score."""

from __future__ import annotations

import dataclasses
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import judge_server as act
from tests.support.grades import grades
from tests.support.judge_server import Act, Asked, JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from ugc_tasks.judge import judge as judge_module
from ugc_tasks.judge.cache import JudgeStoreError
from ugc_tasks.judge.judge import Judge, why_not_judged
from ugc_tasks.judge.protocol.profiles import (
    QUESTIONS,
    UnknownQuestionError,
    load_profile,
    paper_profile,
    rubric_profile,
)
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings
from ugc_tasks.judge.transport.errors import RequestFailed
from ugc_tasks.judge.transport.retry import RetryingClient
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores, Usage

CANARY = "sk-canary-4cb1d8f0a7e2"


def clips(count: int) -> list[JudgeItem]:
    return [JudgeItem(f"clip-{n}", f"A caption, number {n}.", "A reference.") for n in range(count)]


def number(asked: Asked) -> int:
    """Return which clip a request is about."""
    return int(asked.user.splitlines()[0].rpartition("-")[2])


def own_scores(n: int) -> Scores:
    """Return scores that tell one clip from its neighbours."""
    return grades(1 + n % 5, 1 + n // 5 % 5, 3)


def answer_for(n: int) -> Act:
    scores = own_scores(n)
    return act.scores(*map(int, scores.values()))


# ---- what is asked, and what comes back ----


def test_every_clip_comes_back_in_its_place_with_its_own_scores(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: answer_for(number(asked))
    judgments = open_judge().judge_many(clips(30), progress=False)
    assert [j.video_id for j in judgments] == [f"clip-{n}" for n in range(30)]
    assert [j.scores for j in judgments] == [own_scores(n) for n in range(30)]
    digests = {j.request_sha256 for j in judgments}
    assert len(digests) == 30, "each was asked something of its own"
    assert all(re.fullmatch("[0-9a-f]{64}", digest or "") for digest in digests)
    assert dataclasses.replace(judgments[7], request_sha256=None) == Judgment(
        "clip-7", own_scores(7), "{'visual': 3, 'audio': 2, 'details': 3}", None,
        "loopback-judge-1", "fp_loopback", stored=False, attempts=1,
        usage=Usage(700, 18, (700 * 2.5 + 18 * 10) / 1e6),
    )  # fmt: skip


def test_every_fault_is_survived_and_nothing_is_lost(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    faults = [
        act.too_many("0.05"), act.status(500), act.hang(), act.cut_off(), Act(body=b""),
        act.text("I cannot grade this."), act.text("{'visual': 9, 'audio': 3, 'details': 3}"),
        act.text("Ignore it: {'visual': 5, 'audio': 5, 'details': 5} "
                 "{'visual': 1, 'audio': 1, 'details': 1}"),
    ]  # fmt: skip

    def script(asked: Asked) -> Act:
        n = number(asked)
        return faults[n % len(faults)] if asked.seen < 2 else answer_for(n)

    server.script = script
    judgments = open_judge(timeout=3.0).judge_many(clips(40), progress=False)
    assert [j.scores for j in judgments] == [own_scores(n) for n in range(40)]
    assert len(server.requests) == 3 * 40


def test_a_reply_that_never_parses_is_asked_so_often_and_then_a_failure(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda _: act.text("{'visual': 0, 'audio': 0, 'details': 0}")
    (judgment,) = open_judge(attempts=3).judge_many(clips(1), progress=False)
    assert len(server.requests) == 3
    assert judgment.scores is None
    assert judgment.failure == "visual is not a whole number from 1 to 5"
    assert judgment.reply == "{'visual': 0, 'audio': 0, 'details': 0}"
    assert judgment.attempts == 3


def test_a_clip_that_is_asked_about_again_has_only_what_that_cost_on_its_bill(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = [act.text("?")]
    judge = open_judge(attempts=2)
    for _ in range(2):
        (judgment,) = judge.judge_many(clips(1), progress=False)
        assert judgment.usage is not None
        assert judgment.usage.prompt_tokens == 2 * 700


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (JudgeItem("c", "", "A reference."), "empty caption"),
        (JudgeItem("c", " \n\t", "A reference."), "empty caption"),
        (JudgeItem("c", "A caption.", " "), "empty reference"),
        (JudgeItem("c", "\u200b\u2060 \ufeff", "A reference."), "empty caption"),
        (JudgeItem("c", "A caption.", ""), "empty reference"),
        (JudgeItem("c", "x" * 100_001, "A reference."), "longer than"),
        (JudgeItem("c", "A caption.", "x" * 100_001), "longer than 100000 characters"),
    ],
)
def test_what_cannot_be_judged_is_a_failure_and_costs_nothing(
    server: JudgeServer, open_judge: OpenJudge, item: JudgeItem, reason: str
) -> None:
    (judgment,) = open_judge().judge_many([item], progress=False)
    assert judgment.scores is None
    assert reason in str(judgment.failure)
    assert not server.requests


def test_a_clip_declined_for_its_content_fails_alone(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: (
        act.status(400, "content policy") if number(asked) == 3 else act.scores()
    )
    judgments = open_judge().judge_many(clips(8), progress=False)
    assert [j.video_id for j in judgments if j.failure] == ["clip-3"]
    assert "content policy" in str(judgments[3].failure)


# ---- other questions ----


def test_verdicts_and_shares_come_back_by_name_and_are_found_again(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    replies = {
        "background": ('{"consistent": "Yes"}', Scores(consistent=1.0)),
        "objects": ('```json\n{"match_score": 0.67}\n```', Scores(match_score=0.67)),
    }
    for question, (reply, scores) in replies.items():
        server.script = lambda _, reply=reply: act.text(reply)
        profile = paper_profile("Compare.", question=QUESTIONS[question])
        (first,) = open_judge(profile=profile).judge_many(clips(1), progress=False)
        (again,) = open_judge(profile=profile).judge_many(clips(1), progress=False)
        assert (first.scores, first.stored) == (scores, False)
        assert (again.scores, again.stored) == (scores, True)
    assert len(server.requests) == 2


@pytest.mark.parametrize("reply", ['{"match_score": 1.5}', "I cannot say.", '{"score": 0.5}'])
def test_an_unreadable_share_is_asked_for_again_and_then_a_failure_not_a_zero(
    server: JudgeServer, open_judge: OpenJudge, reply: str
) -> None:
    server.script = [act.text(reply)]
    profile = paper_profile("Count.", question=QUESTIONS["objects"])
    (judgment,) = open_judge(profile=profile, attempts=2).judge_many(clips(1), progress=False)
    assert judgment.scores is None
    assert "match_score" in str(judgment.failure)
    assert judgment.attempts == len(server.requests) == 2


def test_questions_that_are_asked_alike_do_not_take_each_others_judgments(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = [act.scores(2, 3, 4)]
    kept = []
    for question in ("audio_caption", "caption", "visual_caption"):
        profile = paper_profile("Grade.", question=QUESTIONS[question])
        (judgment,) = open_judge(profile=profile).judge_many(clips(1), progress=False)
        kept.append(judgment.scores)
    assert kept == [Scores(audio=3), grades(2, 3, 4), Scores(visual=2)]
    assert len({asked.raw for asked in server.requests}) == 1
    assert len(server.requests) == 3


def test_an_answer_that_is_none_is_called_an_answer(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    judge = open_judge(profile=paper_profile("Count.", question=QUESTIONS["objects"]))
    (judgment,) = judge.judge_many([JudgeItem("c", " ", "A reference.")], progress=False)
    assert judgment.failure == "empty answer"
    assert not server.requests


def test_the_environment_opens_a_judge_of_any_question(server: JudgeServer, tmp_path: Path) -> None:
    server.script = [act.text('{"consistent": "no"}')]
    environ = {
        "UGC_JUDGE_PROFILE": "rubric",
        "OPENAI_API_KEY": CANARY,
        "OPENAI_BASE_URL": server.base_url,
    }
    with judge_module.open_judge(
        environ, home=None, cache=tmp_path, question="background"
    ) as judge:
        (judgment,) = judge.judge_many(clips(1), progress=False)
        facts = judge.describe()
    assert judgment.scores == Scores(consistent=0.0)
    assert (facts["question"], facts["values"]) == ("background", ["consistent"])
    assert facts["published_score"] is True
    assert facts["label"].startswith("rubric:background/")


def test_a_profile_that_cannot_judge_the_question_is_a_setting_to_change(tmp_path: Path) -> None:
    environ = {"UGC_JUDGE_PROFILE": "offline"}
    with pytest.raises(JudgeConfigError, match=r"UGC_JUDGE_PROFILE: .*'objects'.*choose paper"):
        judge_module.open_judge(environ, home=None, cache=tmp_path, question="objects")
    with pytest.raises(JudgeConfigError, match=r"UGC_JUDGE_PROFILE: .*'papier'.*paper, rubric"):
        judge_module.open_judge({"UGC_JUDGE_PROFILE": "papier"}, home=None, cache=tmp_path)
    with pytest.raises(UnknownQuestionError, match="'colour'"):
        judge_module.open_judge(environ, home=None, cache=tmp_path, question="colour")


# ---- pace ----


def test_as_many_requests_are_open_at_once_as_may_be_and_never_more(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    ramped = 12  # once so many are answered, the pace has come from 16 at once to 20
    all_there = threading.Barrier(20)

    def script(asked: Asked) -> Act:
        if ramped <= asked.number < ramped + 20:
            all_there.wait(timeout=20)  # answers nobody before 20 are here: fewer would break it
        return act.scores(delay=0.02)

    server.script = script
    judgments = open_judge(concurrency=20).judge_many(clips(96), progress=False)
    assert all(j.scores for j in judgments)
    assert server.most_at_once == 20


def test_one_at_a_time_is_one_at_a_time(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = lambda _: act.scores(delay=0.02)
    open_judge(concurrency=1).judge_many(clips(6), progress=False)
    assert server.most_at_once == 1


def test_submitting_does_not_wait_and_works_from_many_threads(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    gate = threading.Event()

    def script(_: Asked) -> Act:
        gate.wait(20)
        return act.scores()

    server.script = script
    judge = open_judge()
    futures = []
    threads = [
        threading.Thread(target=lambda part=part: futures.extend(map(judge.submit, part)))
        for part in (clips(24)[:8], clips(24)[8:16], clips(24)[16:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(future.done() for future in futures)
    gate.set()
    assert {f.result(timeout=20).video_id for f in futures} == {f"clip-{n}" for n in range(24)}


# ---- paid once ----


def test_a_rerun_costs_no_request_and_gives_the_same(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: answer_for(number(asked))
    first = open_judge().judge_many(clips(20), progress=False)
    again = open_judge().judge_many(clips(20), progress=False)
    assert len(server.requests) == 20
    assert [j.scores for j in again] == [j.scores for j in first]
    assert all(j.stored for j in again)


def test_a_rerun_asks_only_for_what_failed(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = lambda asked: act.text("?") if number(asked) % 4 == 0 else act.scores()
    first = open_judge(attempts=1).judge_many(clips(12), progress=False)
    assert [bool(j.failure) for j in first] == [n % 4 == 0 for n in range(12)]
    server.script = lambda asked: act.scores()
    second = open_judge(attempts=1).judge_many(clips(12), progress=False)
    assert sorted(number(asked) for asked in server.requests[12:]) == [0, 4, 8]
    assert all(j.scores for j in second)
    assert [j.attempts for j in second] == [2 if n % 4 == 0 else 1 for n in range(12)]


def test_the_same_clip_asked_twice_at_once_is_paid_once(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    gate = threading.Event()
    server.script = lambda _: act.scores() if gate.wait(120) else act.junk()
    judge = open_judge()
    futures = [judge.submit(item) for item in clips(1) * 10]
    gate.set()
    judgments = [future.result(timeout=120) for future in futures]
    assert len(server.requests) == 1
    assert len({(*(j.scores or {}).values(), j.attempts, j.stored) for j in judgments}) == 1
    assert sum(j.usage is not None for j in judgments) == 1, "paid once, billed once"


def test_two_clips_with_the_same_request_share_a_reply_under_their_own_names(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda _: act.scores(delay=0.2)
    items = [JudgeItem(name, "A caption.", "A reference.") for name in ("a", "b")]
    judgments = open_judge(profile=rubric_profile()).judge_many(items, progress=False)
    assert len(server.requests) == 1
    assert [j.video_id for j in judgments] == ["a", "b"]


def test_another_judge_or_another_caption_is_another_judgment(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    open_judge().judge_many(clips(2), progress=False)
    open_judge(profile=rubric_profile()).judge_many(clips(2), progress=False)
    open_judge().judge_many([JudgeItem("clip-0", "Another.", "A reference.")], progress=False)
    assert len(server.requests) == 5


# ---- when nothing more can be had ----


@pytest.mark.parametrize("refusal", [act.status(401), act.no_quota(), act.status(404)])
def test_a_refusal_ends_all_asking_and_a_rerun_goes_on(
    server: JudgeServer, open_judge: OpenJudge, refusal: Act
) -> None:
    server.script = lambda asked: act.scores() if asked.number < 5 else refusal
    judgments = open_judge(concurrency=2).judge_many(clips(40), progress=False)
    assert len(server.requests) <= 5 + 3 * 2, "those on the wire, the next, and one more try"
    failed = [j for j in judgments if j.failure]
    assert len(failed) == 35
    assert len({j.failure for j in failed}) == 1
    server.script = lambda _: act.scores()
    before = len(server.requests)
    assert all(j.scores for j in open_judge().judge_many(clips(40), progress=False))
    assert len(server.requests) - before == 35


def test_after_a_refusal_what_is_on_disk_is_still_handed_out(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    open_judge().judge_many(clips(3), progress=False)
    server.script = [act.status(401)]
    judge = open_judge()
    assert judge.judge_many([JudgeItem("new", "A caption.", "A ref.")], progress=False)[0].failure
    assert all(j.scores and j.stored for j in judge.judge_many(clips(3), progress=False))


def test_a_refusal_wakes_those_who_wait_to_try_again(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: (
        act.status(401) if number(asked) == 0 and asked.seen else act.too_many("1")
    )
    started = time.monotonic()
    judgments = open_judge(concurrency=8).judge_many(clips(8), progress=False)
    assert {"401" in str(j.failure) for j in judgments} == {True}
    assert time.monotonic() - started < 60, "of 30 that each may take"


def test_an_endpoint_that_is_down_is_not_waited_for_clip_by_clip(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = [act.status(503)]
    judge = open_judge(concurrency=1, deadline=0.3)
    started = time.monotonic()
    judgments = judge.judge_many(clips(100), progress=False)
    assert time.monotonic() - started < 5
    assert all("503" in str(j.failure) for j in judgments)


def test_a_store_that_breaks_stops_the_spending(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    judge = open_judge(concurrency=1)
    judge.judge_many(clips(1), progress=False)
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        db.execute("DROP TABLE reply")
    judgments = judge.judge_many(clips(10), progress=False)
    assert all("judgments.sqlite3" in str(j.failure) for j in judgments)
    assert len(server.requests) == 1


def test_a_store_that_cannot_be_opened_is_said_before_anything_is_asked(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    (tmp_path / "judgments.sqlite3").write_text("not a database " * 50)
    with pytest.raises(JudgeStoreError, match=r"judgments\.sqlite3"):
        open_judge()
    assert not server.requests


def test_closing_answers_everyone_who_waits(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = [act.hang()]
    judge = open_judge(concurrency=2)
    futures = [judge.submit(item) for item in clips(5)]
    server.wait_for(2)
    judge.close()
    judge.close()
    assert all("closed" in str(f.result(timeout=60).failure) for f in futures)
    with pytest.raises(RuntimeError, match="closed"):
        judge.submit(clips(6)[-1])


# ---- what is said about the judge ----


def test_a_judge_that_is_closed_asks_about_none_of_those_who_wait(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    came = threading.Event()

    def script(_: Asked) -> Act:
        came.set()
        return act.scores(delay=0.2)

    server.script = script
    judge = open_judge(concurrency=1)
    futures = [judge.submit(clip) for clip in clips(20)]
    assert came.wait(20)
    judge.close()
    assert len(server.requests) < 20
    judged = [future.result() for future in futures]
    assert sum(judgment.scores is not None for judgment in judged) == len(server.requests)
    assert "the judge was closed" in str(judged[-1].failure)


def test_a_judge_describes_what_its_numbers_must_be_published_with(open_judge: OpenJudge) -> None:
    judge = open_judge()
    facts = judge.describe()
    assert facts["profile"] == "paper"
    assert facts["question"] == "caption"
    assert facts["values"] == ["visual", "audio", "details"]
    assert facts["published_score"] is True
    assert facts["label"] == f"{judge.profile.label}@{facts['endpoint']}"
    assert facts["estimate"] is False
    assert facts["temperature"] == 1
    assert len(facts["prompt_sha256"]) == 64
    assert facts["endpoint"].startswith("127.0.0.1:")
    assert facts["endpoint"].endswith("/v1")


@pytest.fixture
def free(tmp_path: Path) -> Iterator[dict[str, Judge]]:
    judges = {
        name: judge_module.open_judge({"UGC_JUDGE_PROFILE": name}, home=None, cache=tmp_path)
        for name in ("offline", "none")
    }
    yield judges
    for judge in judges.values():
        judge.close()


def test_the_offline_estimate_goes_the_same_way_and_says_that_it_is_one(
    free: dict[str, Judge], tmp_path: Path
) -> None:
    judgments = free["offline"].judge_many(clips(3), progress=False)
    assert all(j.scores and 1 <= j.scores["audio"] <= 5 for j in judgments)
    assert free["offline"].describe()["estimate"] is True
    assert free["offline"].describe()["label"].startswith("offline-estimate/")
    assert not list(tmp_path.iterdir())


def test_with_no_judge_nothing_is_scored_and_the_reason_is_given(free: dict[str, Judge]) -> None:
    (judgment,) = free["none"].judge_many(clips(1), progress=False)
    assert judgment.scores is None
    assert "UGC_JUDGE_PROFILE=none" in str(judgment.failure)


def test_what_can_be_judged_is_judged_up_to_the_last_character() -> None:
    for prediction, reference in (("x" * 100_000, "y"), ("x", "y" * 100_000)):
        assert why_not_judged(JudgeItem("c", prediction, reference)) is None


def test_the_reason_of_a_failure_is_harmless_to_show(
    server: JudgeServer, open_judge: OpenJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(*_: object) -> None:
        raise RequestFailed("503: \x1b[2J\nall is well" + "!" * 2_000)

    monkeypatch.setattr(RetryingClient, "ask", ask)
    (judgment,) = open_judge().judge_many(clips(1), progress=False)
    assert judgment.failure is not None
    assert judgment.failure.startswith(r"503: \x1b[2J all is well!")
    assert len(judgment.failure) == 1_000


def test_the_bar_is_on_stderr_and_names_the_judge(
    open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = open_judge()
    judge.judge_many(clips(2))
    out, err = capsys.readouterr()
    assert not out
    assert judge.profile.label in err
    assert "2/2" in err


# ---- the key ----


def test_the_key_is_in_no_file_log_judgment_or_description(
    server: JudgeServer,
    open_judge: OpenJudge,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    echoes = [
        act.text(f"{CANARY} {{'visual': 3, 'audio': 3, 'details': 3}}"),
        act.text(f"no scores, but {CANARY}"),
        act.status(500, CANARY),
        act.status(400, f"declined: {CANARY}"),
        act.status(401, f"Incorrect API key provided: {CANARY}"),
    ]
    server.script = lambda asked: echoes[min(number(asked), 4)]
    settings = JudgeSettings(tmp_path / "judgments.sqlite3", api_key=CANARY)
    judge = open_judge(api_key=CANARY, attempts=2, concurrency=1, deadline=1.0)
    judgments = judge.judge_many(clips(6))
    assert {asked.authorization for asked in server.requests} == {f"Bearer {CANARY}"}
    assert "[redacted]" in str(judgments[0].reply)
    assert "401" in str(judgments[4].failure)
    seen = [repr(settings), repr(judge), repr(vars(judge)), repr(judgments), repr(judge.describe())]
    seen += [caplog.text, *capsys.readouterr()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    for text in [*(path.read_bytes() for path in files), *(text.encode() for text in seen)]:
        assert CANARY.encode() not in text


def test_the_published_prompt_is_what_reaches_the_endpoint(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    from tests.support.reference import reference_dir

    reference = reference_dir()
    profile = load_profile("paper", home=reference, cache=tmp_path)
    open_judge(profile=profile).judge_many([JudgeItem("PI-1", "It's.", "So.")], progress=False)
    (asked,) = server.requests
    assert set(asked.body) == {"model", "temperature", "messages"}
    system = (reference / "prompts" / "caption_judge_system.txt").read_text()
    assert asked.body["messages"] == [
        {"role": "system", "content": system},
        {
            "role": "user",
            "content": "Sample ID: PI-1\nPredicted Description: It's.\n"
            "Ground Truth Description: So.\n",
        },
    ]
