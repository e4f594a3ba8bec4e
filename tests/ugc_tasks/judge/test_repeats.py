"""Several independent judgments of one answer: asked, kept and paid for each, and their mean."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.support import judge_server as act
from tests.support.batch_server import BatchServer
from tests.support.grades import grades
from tests.support.judge_server import Act, Asked, JudgeServer
from tests.ugc_tasks.judge.conftest import OpenJudge
from tests.ugc_tasks.judge.worker import clips
from ugc_tasks.judge.judge import open_judge as open_from_environment
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores, Usage, mean_judgment, mean_of_repeats

FIRST = Judgment("v", grades(4, 3, 5), reply="a", model="m", fingerprint="fp_1", attempts=1,
                 usage=Usage(700, 18, 0.002), stored=True)  # fmt: skip
SECOND = Judgment("v", grades(5, 3, 4), reply="b", model="m", fingerprint="fp_2", attempts=2,
                  usage=Usage(700, 20, 0.003))  # fmt: skip
FAILED = Judgment("v", failure="no object", reply="c", model="m", attempts=3, usage=Usage(1, 1))
REFUSED = Judgment("v", failure="401")


def in_turn(*grades: int) -> Callable[[Asked], Act]:
    """Answer the first request about a clip with the first grade, its second with the second."""
    return lambda asked: act.scores(grades[asked.seen % len(grades)], 3, 3)


def asked_about(server: JudgeServer) -> Counter[str]:
    return Counter(asked.user.splitlines()[0].rpartition(" ")[2] for asked in server.requests)


# ---- the one that stands for all ----


def test_it_has_the_mean_of_what_came_and_all_of_what_it_came_from() -> None:
    whole = mean_judgment([FIRST, FAILED, SECOND])
    assert whole.scores == grades(4.5, 3, 4.5)
    assert whole.failure is None
    assert whole.repeats == (FIRST, FAILED, SECOND)
    assert whole.video_id == "v"
    assert whole.attempts == 6
    assert whole.usage == Usage(1401, 39, 0.005)


def test_judges_that_changed_on_the_way_are_all_named() -> None:
    whole = mean_judgment([FIRST, SECOND, FAILED])
    assert (whole.model, whole.fingerprint) == ("m", "fp_1 + fp_2")


def test_it_was_stored_only_if_all_were() -> None:
    assert not mean_judgment([FIRST, SECOND]).stored
    assert mean_judgment([FIRST, FIRST]).stored


def test_what_was_changed_before_it_was_sent_is_told_of_the_mean_too() -> None:
    changed = Judgment("v", grades(5, 3, 4), sanitized=("label",))
    assert mean_judgment([changed, changed]).sanitized == ("label",)


def test_where_none_came_it_is_a_failure_for_the_last_ones_reason() -> None:
    whole = mean_judgment([FAILED, REFUSED])
    assert (whole.scores, whole.failure) == (None, "401")
    assert whole.usage == Usage(1, 1)
    assert mean_judgment([REFUSED, REFUSED]).usage is None


def test_verdicts_become_the_share_of_them() -> None:
    verdicts = [Judgment("v", Scores(consistent=x)) for x in (1.0, 0.0, 1.0, 1.0)]
    assert mean_judgment(verdicts).scores == Scores(consistent=0.75)


# ---- their futures ----


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_last_to_come_settles_it_and_the_order_stays(order: Sequence[int]) -> None:
    parts: list[Future[Judgment]] = [Future() for _ in range(3)]
    whole = mean_of_repeats(parts)
    for place in order:
        assert not whole.done()
        parts[place].set_result((FIRST, FAILED, SECOND)[place])
    assert whole.result(timeout=0).repeats == (FIRST, FAILED, SECOND)


def test_many_threads_that_end_at_once_settle_it_once() -> None:
    for _ in range(50):
        parts: list[Future[Judgment]] = [Future() for _ in range(8)]
        whole, start = mean_of_repeats(parts), threading.Barrier(8)

        def end(part: Future[Judgment], start: threading.Barrier = start) -> None:
            start.wait(20)
            part.set_result(FIRST)

        threads = [threading.Thread(target=end, args=[part]) for part in parts]
        for thread in threads:
            thread.start()
        assert whole.result(timeout=20).scores == FIRST.scores
        for thread in threads:
            thread.join()


# ---- through the judge ----


def test_each_clip_is_asked_about_so_often_with_the_same_bytes_and_scored_by_the_mean(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = in_turn(2, 4, 5)
    judgments = open_judge(repeats=3, concurrency=1).judge_many(clips(4), progress=False)
    assert [j.video_id for j in judgments] == [f"clip-{n}" for n in range(4)]
    assert [j.scores for j in judgments] == [grades(11 / 3, 3, 3)] * 4
    said = [[each.scores["visual"] for each in j.repeats if each.scores] for j in judgments]
    assert said == [[2, 4, 5]] * 4
    assert asked_about(server) == {f"clip-{n}": 3 for n in range(4)}
    assert len({asked.raw for asked in server.requests}) == 4
    assert judgments[0].usage == Usage(2100, 54, pytest.approx(3 * (700 * 2.5 + 18 * 10) / 1e6))


def test_one_judgment_is_what_it_was_and_has_no_repeats(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    (judgment,) = open_judge().judge_many(clips(1), progress=False)
    assert judgment.repeats == ()
    assert judgment.scores == grades(4, 3, 4)


def test_more_repeats_than_before_pay_for_the_new_ones_and_fewer_for_none(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    def run(repeats: int) -> list[list[float]]:
        judge = open_judge(repeats=repeats, concurrency=1)
        judgments = judge.judge_many(clips(5), progress=False)
        alone = [j.repeats or (j,) for j in judgments]
        return [[each.scores["visual"] for each in j if each.scores] for j in alone]

    server.script = in_turn(1, 2, 3, 4)
    assert run(1) == [[1]] * 5
    assert (run(2), len(server.requests)) == ([[1, 2]] * 5, 10)
    assert (run(3), len(server.requests)) == ([[1, 2, 3]] * 5, 15)
    assert (run(2), len(server.requests)) == ([[1, 2]] * 5, 15)
    assert (run(1), len(server.requests)) == ([[1]] * 5, 15)


def test_a_clip_with_a_repeat_that_failed_is_scored_by_the_others_and_says_so(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: act.text("?") if asked.seen == 1 else in_turn(2, 0, 4)(asked)
    judge = open_judge(repeats=3, concurrency=1, attempts=1)
    (judgment,) = judge.judge_many(clips(1), progress=False)
    assert judgment.scores == grades(3, 3, 3)
    assert [each.scores is None for each in judgment.repeats] == [False, True, False]
    assert judgment.repeats[1].failure
    server.script = in_turn(5)
    (again,) = open_judge(repeats=3).judge_many(clips(1), progress=False)
    assert len(server.requests) == 4, "the one that failed is asked again, and no other"
    assert again.scores == grades(11 / 3, 3, 3)


def test_a_clip_of_which_no_repeat_came_is_a_failure(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = [act.text("I cannot say.")]
    (judgment,) = open_judge(repeats=2, attempts=1).judge_many(clips(1), progress=False)
    assert judgment.scores is None
    assert judgment.failure == judgment.repeats[-1].failure
    assert judgment.reply == "I cannot say."


def test_what_cannot_be_judged_is_not_judged_several_times_either(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    (judgment,) = open_judge(repeats=3).judge_many([JudgeItem("v", " ", "R.")], progress=False)
    assert (judgment.failure, judgment.repeats) == ("empty caption", ())
    assert not server.requests


def test_clips_with_the_same_request_share_each_repeat(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    server.script = lambda asked: act.scores(1 + asked.seen, 3, 3, delay=0.2)
    judgments = open_judge(repeats=2).judge_many(clips(1) * 5, progress=False)
    assert len(server.requests) == 2
    assert [j.scores for j in judgments] == [grades(1.5, 3, 3)] * 5
    paid = [each.usage for j in judgments for each in j.repeats if each.usage]
    assert len(paid) == 2, "paid twice, billed twice"


def test_repeats_are_asked_at_once_and_no_thread_waits_for_a_clip(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    gate = threading.Event()
    server.script = lambda _: act.scores() if gate.wait(20) else act.junk()
    judge = open_judge(repeats=4, concurrency=4)
    before = {thread.ident for thread in threading.enumerate()}
    futures = [judge.submit(item) for item in clips(60)]
    server.wait_for(4)
    ours = {thread for thread in threading.enumerate() if thread.ident not in before}
    waiting = {thread.name for thread in ours if "process_request" not in thread.name}
    gate.set()
    assert all(len(future.result(timeout=60).repeats) == 4 for future in futures)
    assert len(waiting) < 10, f"60 clips were under way: {waiting}"


def test_what_is_announced_is_all_of_them_and_each_prompt_is_counted_as_often(
    server: JudgeServer, open_judge: OpenJudge, capsys: pytest.CaptureFixture[str]
) -> None:
    open_judge(repeats=1).announce(clips(7))
    open_judge(repeats=3).announce(clips(7))
    once, thrice = [line for line in capsys.readouterr().err.splitlines() if "needed" in line]
    assert "7 judgments are needed, 0 are stored, 7 are to be asked for" in once
    assert "21 judgments are needed (3 of each answer), 0 are stored, 21 are to be" in thrice

    def tokens(line: str) -> int:
        return int(line.partition("about ")[2].split()[0].replace(",", ""))

    assert tokens(thrice) == 3 * tokens(once)


def test_early_judging_starts_all_repeats_of_an_answer(
    server: JudgeServer, open_judge: OpenJudge
) -> None:
    judge = open_judge(repeats=3)
    judge.submit_early(clips(1)[0], lambda: clips(1))
    server.wait_for(3)
    assert len(judge.submit(clips(1)[0]).result(timeout=20).repeats) == 3
    assert len(server.requests) == 3


def test_closing_answers_who_waits_for_repeats(server: JudgeServer, open_judge: OpenJudge) -> None:
    server.script = [act.scores(), act.hang()]
    judge = open_judge(repeats=3, concurrency=1)
    future = judge.submit(clips(1)[0])
    server.wait_for(2)
    judge.close()
    judgment = future.result(timeout=20)
    assert judgment.scores == grades(4, 3, 4)
    assert ["closed" in str(each.failure) for each in judgment.repeats] == [False, True, True]


def test_a_batch_has_every_repeat_as_a_line_of_its_own(open_judge: OpenJudge) -> None:
    with BatchServer() as server:
        judge = open_judge(repeats=3, batch=True, base_url=server.base_url)
        judgments = judge.judge_many(clips(4), progress=False)
        (batch,) = server.batches.values()
        lines = server.lines(batch)
        more = open_judge(repeats=5, batch=True, base_url=server.base_url)
        more.judge_many(clips(4), progress=False)
        added = [len(server.lines(each)) for each in server.batches.values()]
    assert len({line["custom_id"] for line in lines}) == 12
    assert len({str(line["body"]) for line in lines}) == 4
    assert all(len(j.repeats) == 3 and j.scores for j in judgments)
    assert added == [12, 8]
    assert not server.requests


def test_each_reply_is_a_row_of_the_store_under_its_clip(
    server: JudgeServer, open_judge: OpenJudge, tmp_path: Path
) -> None:
    judge = open_judge(repeats=3)
    judge.judge_many(clips(2), progress=False)
    with sqlite3.connect(tmp_path / "judgments.sqlite3") as db:
        rows = db.execute("SELECT video_id, key, attempt FROM reply").fetchall()
        assert set(db.execute("SELECT judge FROM reply")) == {(judge.label,)}
    assert Counter(name for name, _, _ in rows) == {"clip-0": 3, "clip-1": 3}
    assert len({key for _, key, _ in rows}) == 6
    assert {attempt for _, _, attempt in rows} == {1}


def test_a_judge_says_how_often_it_judges(open_judge: OpenJudge, tmp_path: Path) -> None:
    assert open_judge().describe()["repeats"] == 1
    judge = open_judge(repeats=3)
    assert judge.describe()["repeats"] == 3
    assert judge.describe()["label"] == open_judge().describe()["label"], "it is the same judge"


def test_an_estimate_is_the_same_every_time_and_made_once(tmp_path: Path) -> None:
    environ = {"UGC_JUDGE_PROFILE": "offline", "UGC_JUDGE_REPEATS": "5"}
    with open_from_environment(environ, home=None, cache=tmp_path) as judge:
        (judgment,) = judge.judge_many(clips(1), progress=False)
        assert judge.describe()["repeats"] == 1
    assert judgment.scores
    assert judgment.repeats == ()
