"""One clip's failure stays its own, and what every clip would meet ends the asking early."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from tests.support import judge_server as act
from tests.support.judge_server import Act, Asked, JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.types import Judgment

EACH = (700 * 2.5 + 18 * 10) / 1e6
"""US dollars of an answer of the loopback judge, at the package's prices."""


def number(asked: Asked) -> int:
    """Return which clip a request is about."""
    return int(asked.user.splitlines()[0].rpartition("-")[2])


def failed(judgments: list[Judgment]) -> list[str]:
    return [judgment.video_id for judgment in judgments if judgment.failure]


def spent(judgments: list[Judgment]) -> float:
    return sum(j.usage.usd or 0 for j in judgments if j.usage)


def stopped(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    return [line for line in said if line.startswith("judging stops: ")]


# ---- one clip's 403 ----

FLAGGED = "Your chosen model requires moderation and your input was flagged"
AZURE = "The response was filtered due to the prompt triggering Azure's content management policy"
DECLINED: list[Any] = [
    act.status(403, FLAGGED),
    act.body(
        [{"error": {"code": 403, "message": "Forbidden", "status": "PERMISSION_DENIED"}}], 403
    ),
    act.body({"detail": "no"}, 403),
    Act(403, b"<html><head><title>403 Forbidden</title></head><body>WAF</body></html>"),
    Act(403, b""),
    act.status(401, "flagged by moderation"),
    act.status(400, AZURE, error_code="content_filter"),
    act.status(422, "too long"),
    act.status(451, "unavailable"),
    act.status(413, "too large"),
]


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("fault", DECLINED, ids=lambda fault: f"{fault.status}-{fault.body[-30:]}")
def test_a_clip_that_is_declined_fails_alone_whichever_it_is(
    server: JudgeServer,
    open_judge: OpenJudge,
    caplog: pytest.LogCaptureFixture,
    fault: Act,
    first: bool,
) -> None:
    one = 0 if first else 3
    server.script = lambda asked: fault if number(asked) == one else act.scores()
    for asked_before in (0, 6):
        judgments = open_judge(concurrency=1).judge_many(clips(6), progress=False)
        assert failed(judgments) == [f"clip-{one}"]
        assert f"answered {fault.status}" in str(judgments[one].failure)
        assert len(server.requests) == asked_before + (6 if asked_before == 0 else 1)
    assert not stopped(caplog)


def test_the_servers_words_are_in_the_reason(server: JudgeServer, open_judge: OpenJudge) -> None:
    words = {
        1: (act.status(403, FLAGGED), FLAGGED),
        2: (DECLINED[1], "Forbidden"),
        3: (DECLINED[3], "403 Forbidden"),
        4: (act.body({"error": {"code": 403, "message": "Provider returned error",
                                "metadata": {"raw": "the prompt is unsafe"}}}, 403),
            'Provider returned error {"raw": "the prompt is unsafe"}'),
        5: (act.body({"detail": [{"loc": ["body"], "msg": "too long"}]}, 422), "too long"),
        6: (act.body({"error": "plain words"}, 400), "plain words"),
        7: (Act(400, b"plain words"), "plain words"),
    }  # fmt: skip
    server.script = lambda asked: words[n][0] if (n := number(asked)) in words else act.scores()
    judgments = open_judge(concurrency=1).judge_many(clips(9), progress=False)
    assert failed(judgments) == [f"clip-{n}" for n in words]
    for n, (_, said) in words.items():
        assert said in str(judgments[n].failure)


def test_clips_that_are_declined_before_any_other_is_judged_do_not_stop_those_under_way(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway's moderation is quicker than the judge behind it."""
    declined = threading.Semaphore(0)

    def script(asked: Asked) -> Act:
        if number(asked) < 6:
            declined.release()
            return Act(403, b"Forbidden")
        if number(asked) == 6:
            for _ in range(6):
                assert declined.acquire(timeout=20)
        return act.scores(delay=0.2)

    server.script = script
    judgments = open_judge(concurrency=16).judge_many(clips(16), progress=False)
    assert failed(judgments) == [f"clip-{n}" for n in range(6)]
    assert not stopped(caplog)


def test_many_clips_that_are_declined_in_a_row_do_not_stop_the_others_once_one_was_judged(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda asked: Act(403, b"Forbidden") if 0 < number(asked) < 12 else act.scores()
    judgments = open_judge(concurrency=1).judge_many(clips(14), progress=False)
    assert failed(judgments) == [f"clip-{n}" for n in range(1, 12)]
    assert not stopped(caplog)


@pytest.mark.parametrize("code", [403, 400, 422])
def test_an_endpoint_that_declines_everything_is_not_asked_about_every_clip(
    server: JudgeServer,
    open_judge: OpenJudge,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    server.script = [act.status(code, "Not you")]
    judgments = open_judge(concurrency=1).judge_many(clips(40), progress=False)
    assert 3 <= len(server.requests) <= 4, "three, and one that is on the wire"
    assert len(failed(judgments)) == 40
    (line,) = stopped(caplog)
    assert "Not you" in line
    assert "clips in a row: the judge declines everything" in line


def test_an_endpoint_that_begins_to_decline_everything_is_left_alone_in_the_end(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: act.scores() if asked.number == 0 else act.status(403, "Not now")
    judgments = open_judge(concurrency=1).judge_many(clips(60), progress=False)
    assert len(server.requests) == 1 + 40
    assert len(failed(judgments)) == 59


def test_moderation_alone_never_stops_a_run(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = [act.status(403, FLAGGED)]
    open_judge(concurrency=1).judge_many(clips(50), progress=False)
    assert len(server.requests) == 50


# ---- the key ----

GEMINI = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
                     "status": "INVALID_ARGUMENT"}}]  # fmt: skip


@pytest.mark.parametrize(
    "refusal",
    [
        act.status(401, "who are you?"),
        act.status(403, "Invalid authentication credentials"),
        act.status(403, "This API key has no access"),
        act.body(GEMINI, 400),
    ],
    ids=lambda fault: str(fault.body)[:60],
)
def test_a_key_that_is_not_accepted_at_the_start_is_one_request_and_one_line(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture, refusal: Act
) -> None:
    server.script = [refusal]
    judgments = open_judge(concurrency=1).judge_many(clips(20), progress=False)
    assert len(server.requests) == 1
    assert len(failed(judgments)) == 20
    (line,) = stopped(caplog)
    assert f"answered {refusal.status} (" in line
    assert "it does not accept the key for this; check OPENAI_API_KEY" in line


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_401_in_mid_run_is_tried_once_more_by_one_request(
    server: JudgeServer,
    open_judge: OpenJudge,
    caplog: pytest.LogCaptureFixture,
    concurrency: int,
) -> None:
    server.script = lambda asked: (
        act.status(401, "an accident") if asked.number == 20 else act.scores(delay=0.02)
    )
    judgments = open_judge(concurrency=concurrency).judge_many(clips(30), progress=False)
    assert not failed(judgments)
    assert len(server.requests) == 31
    assert not stopped(caplog)


def test_a_second_401_ends_the_run(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda asked: (
        act.scores() if asked.number < 5 else act.status(401, "it has expired")
    )
    judgments = open_judge(concurrency=1).judge_many(clips(40), progress=False)
    assert 5 + 2 <= len(server.requests) <= 5 + 3, "and one beside it that is tried again"
    assert len(failed(judgments)) == 35
    (line,) = stopped(caplog)
    assert "it has expired" in line


def test_a_401_after_a_503_is_tried_once_more_too(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    faults = [act.status(503), act.status(401), act.scores()]
    server.script = lambda asked: faults[asked.seen] if number(asked) == 2 else act.scores()
    assert not failed(open_judge(concurrency=1).judge_many(clips(4), progress=False))


# ---- answers that are none ----

LOGIN = Act(200, b"<html><title>Log in to the network</title></html>")
PARTS = act.body(act.completion([{"type": "image_url", "image_url": "x"}]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (LOGIN, "not a chat completion: <html><title>Log in to the network"),
        (PARTS, "has no text that can be read"),
        (Act(200, b"data: {}\n\n"), "not a chat completion: data: {}"),
        (Act(200, b"\x01\x02", {"Content-Encoding": "br"}), "is packed (br)"),
        (Act(200, b" " * (2 << 20)), "is larger than 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_answers_that_cannot_be_read_are_said_at_once_counted_and_not_bought_again(
    server: JudgeServer,
    open_judge: OpenJudge,
    caplog: pytest.LogCaptureFixture,
    answer: Act,
    said: str,
) -> None:
    server.script = [answer]
    judgments = open_judge(concurrency=1).judge_many(clips(20), progress=False)
    assert len(server.requests) == 3
    assert all(said in str(j.failure) for j in judgments)
    assert len(stopped(caplog)) == 1
    assert [bool(j.usage) for j in judgments] == [answer != LOGIN] * 3 + [False] * 17
    if answer == PARTS:
        assert spent(judgments) == pytest.approx(3 * EACH)
    else:  # it does not say
        assert (spent(judgments) > 0) == (answer != LOGIN)


def test_one_answer_that_cannot_be_read_costs_its_own_clip(
    server: JudgeServer, open_judge: OpenJudge, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda asked: PARTS if number(asked) in {2, 3, 5, 7} else act.scores()
    judgments = open_judge(concurrency=1).judge_many(clips(9), progress=False)
    assert failed(judgments) == ["clip-2", "clip-3", "clip-5", "clip-7"]
    assert len(server.requests) == 9
    assert spent(judgments) == pytest.approx(9 * EACH)
    assert not stopped(caplog)


def test_what_was_paid_before_a_failure_stays_on_the_bill(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: act.text("no scores") if asked.seen == 0 else PARTS
    (judgment,) = open_judge().judge_many(clips(1), progress=False)
    assert "no text that can be read" in str(judgment.failure)
    assert judgment.reply == "no scores"
    assert spent([judgment]) == pytest.approx(2 * EACH)


def test_a_budget_counts_answers_that_cannot_be_read(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: act.scores() if number(asked) % 2 else PARTS
    judgments = open_judge(concurrency=1, budget=0.02).judge_many(clips(60), progress=False)
    assert 0.02 - 3 * EACH < spent(judgments) <= 0.02
    assert spent(judgments) == pytest.approx(len(server.requests) * EACH)
    assert "UGC_JUDGE_BUDGET" in str(judgments[-1].failure)


def test_a_page_between_answers_is_a_proxys_bad_moment(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    """Before a model has answered, it would have been said at once."""
    page = Act(200, b"<html>try again</html>")
    server.script = lambda asked: page if number(asked) == 1 and not asked.seen else act.scores()
    judgments = open_judge(concurrency=1).judge_many(clips(3), progress=False)
    assert failed(judgments) == []
    assert len(server.requests) == 4


def test_a_page_again_and_again_is_said(server: JudgeServer, open_judge: OpenJudge) -> None:
    page = Act(200, b"<html>try again</html>")
    server.script = lambda asked: page if number(asked) == 1 else act.scores()
    judgments = open_judge(concurrency=1).judge_many(clips(3), progress=False)
    assert failed(judgments) == ["clip-1"]
    assert "the answer is not a chat completion: <html>try again</html>" in str(
        judgments[1].failure
    )
    assert len(server.requests) == 2 + 6


def test_what_a_server_says_while_it_is_busy_is_in_the_reason(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = [act.status(503, "the model is being loaded")]
    (judgment,) = open_judge(deadline=0.3).judge_many(clips(1), progress=False)
    assert "answered 503 (the model is being loaded); given up" in str(judgment.failure)
