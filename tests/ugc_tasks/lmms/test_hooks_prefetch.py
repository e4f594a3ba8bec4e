"""All answers are on their way to the judge as soon as two documents agree where they belong."""

from __future__ import annotations

import json
import pickle
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from lmms_eval.api.reasoning import strip_reasoning_tags

from tests.support.batch_server import BatchServer
from tests.support.judge_server import Act, Asked, JudgeServer, junk, scores, text, together
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.protocol.profiles import load_profile
from ugc_tasks.judge.settings import JudgeSettings
from ugc_tasks.judge.types import JudgeItem, Judgment, Scores
from ugc_tasks.lmms.hooks import PlacedAnswer, PrefetchFilter, received

Document = dict[str, str]

LMMS_EVALS_TAGS = [["<think>", "</think>"], ["<analysis>", "</analysis>"]]


class RecordingJudge(Judge):
    """The free judge, remembering what it was asked in which order."""

    def __init__(self, store: Path) -> None:
        profile = load_profile("offline", home=None, cache=store.parent)
        super().__init__(profile, JudgeSettings(store=store, profile="offline"))
        self.asked: list[str] = []

    def submit(self, item: JudgeItem) -> Future[Judgment]:
        self.asked.append(item.video_id)
        return super().submit(item)


class Told(str):
    """An answer as our model gives it: text, and how it came about."""

    generation: dict[str, Any]


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[RecordingJudge]:
    recording = RecordingJudge(tmp_path / "store")
    yield recording
    recording.close()


def judge_answer(document: Document, answer: PlacedAnswer, judge: Judge) -> Judgment:
    return answer.prefetch.judgment(document, answer, judge)


def documents(count: int) -> list[Document]:
    return [
        {"video_id": f"v{i}", "answer": f"reference {i}", "question": "?"} for i in range(count)
    ]


def filtered(texts: Sequence[str], docs: Sequence[Document]) -> list[PlacedAnswer]:
    return PrefetchFilter().apply([[text] for text in texts], docs)


def captions(docs: Sequence[Document]) -> list[PlacedAnswer]:
    """Answers to ``docs``, of which lmms-eval knows ten."""
    return filtered([f"caption of {doc['video_id']}" for doc in docs], documents(10))


def test_the_second_document_starts_all_the_others_in_order(judge: RecordingJudge) -> None:
    docs = documents(10)
    answers = captions(docs)
    judge_answer(docs[0], answers[0], judge)
    assert judge.asked == ["v0"], "one document does not tell where the others are"
    judge_answer(docs[1], answers[1], judge)
    assert judge.asked == [f"v{i}" for i in range(10)]


def test_each_document_gets_the_judgment_of_its_own_answer(judge: RecordingJudge) -> None:
    docs = documents(3)
    answers = filtered(["reference 0", "something else", "reference 2"], docs)
    judgments = [judge_answer(d, a, judge) for d, a in zip(docs, answers, strict=True)]
    assert [judgment.video_id for judgment in judgments] == ["v0", "v1", "v2"]
    items = [JudgeItem(d["video_id"], a, d["answer"]) for d, a in zip(docs, answers, strict=True)]
    alone = [judge.submit(item).result().scores for item in items]
    assert [judgment.scores for judgment in judgments] == alone
    assert alone[0] != alone[1]


def test_every_answer_is_asked_about_once(judge: RecordingJudge) -> None:
    docs = documents(10)
    answers = captions(docs)
    for _ in range(2):  # lmms-eval scores again where there are several responses
        for doc, answer in zip(docs, answers, strict=True):
            judge_answer(doc, answer.strip(), judge)
    assert judge.asked == [f"v{i}" for i in range(10)]


def test_an_offset_and_a_limit_leave_the_other_documents_alone(judge: RecordingJudge) -> None:
    mine = documents(10)[4:8]
    answers = captions(mine)
    judge_answer(mine[3], answers[3], judge)
    judge_answer(mine[1], answers[1], judge)
    assert sorted(judge.asked) == ["v4", "v5", "v6", "v7"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_asks_about_its_own_documents_only(
    judge: RecordingJudge, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    mine = documents(10)[rank::2]
    answers = captions(mine)
    for place in (2, 0):
        judge_answer(mine[place], answers[place], judge)
    assert sorted(judge.asked) == [doc["video_id"] for doc in mine]


def test_documents_that_disagree_are_judged_one_by_one(judge: RecordingJudge) -> None:
    docs = documents(10)
    answers = captions(docs)
    shuffled = [docs[i] for i in (7, 2, 9, 0, 1, 3, 4, 5, 6, 8)]
    for doc, answer in zip(shuffled, answers, strict=True):
        judgment = judge_answer(doc, answer, judge)
        assert judgment.video_id == doc["video_id"]
    assert judge.asked == [doc["video_id"] for doc in shuffled]


def test_no_answer_is_judged_by_another_documents_reference_where_documents_disagree(
    judge: RecordingJudge,
) -> None:
    docs = documents(10)
    answers = captions(docs[:4])
    for place, doc in enumerate((docs[5], docs[3], docs[4], docs[6])):  # each order would fit
        judge_answer(doc, answers[place], judge)
    assert judge.asked == ["v5", "v3", "v4", "v6"]


def test_an_agreement_on_documents_that_do_not_exist_starts_nothing(judge: RecordingJudge) -> None:
    docs = documents(10)
    answers = captions(docs)  # ten answers cannot begin at the second of ten documents
    judge_answer(docs[1], answers[0], judge)
    judge_answer(docs[2], answers[1], judge)
    assert judge.asked == ["v1", "v2"]


def test_nor_does_one_on_a_document_before_the_first(judge: RecordingJudge) -> None:
    docs = documents(10)
    answers = captions(docs[:3])
    judge_answer(docs[0], answers[1], judge)
    judge_answer(docs[1], answers[2], judge)
    assert judge.asked == ["v0", "v1"]


def test_the_same_document_twice_is_no_agreement(judge: RecordingJudge) -> None:
    docs = documents(10)
    answers = captions(docs)
    for _ in range(3):
        judge_answer(docs[0], answers[0], judge)
    assert judge.asked == ["v0"]


def test_a_rewritten_answer_is_judged_as_it_reads_now(judge: RecordingJudge) -> None:
    # As after a filter of the user's: a bare string, without a place.
    doc = documents(1)[0]
    judgment = judge_answer(doc, received(["reference 0"], ""), judge)
    assert judgment.scores is not None
    assert judge.asked == ["v0"]


def test_an_answer_that_a_later_filter_cut_is_judged_as_it_reads_now() -> None:
    told = Told("'A cat.'")
    told.generation = {"heard": True}
    answer = filtered([told], documents(1))[0]
    now = received([answer.strip("'")], "")
    assert (now, now.read.text) == ("A cat.", "A cat.")
    assert now.read.generation == {"heard": True}


def test_what_is_no_answer_is_not_asked_about_with_the_others(judge: RecordingJudge) -> None:
    docs = documents(4)
    answers = filtered(["a", "b", "[LMMS_EVAL_REQUEST_FAILED after 5 attempts]", "d"], docs)
    for doc, answer in zip(docs, answers, strict=True):
        judge_answer(doc, answer, judge)
    assert judge.asked == ["v0", "v1", "v3"]


def test_four_threads_keep_the_judge_as_busy_as_it_may_be(tmp_path: Path) -> None:
    docs = documents(24)
    answers = filtered([f"caption {i}" for i in range(24)], docs)
    with (
        JudgeServer(together(12, scores(delay=0.02))) as server,
        paid_judge(server, tmp_path, UGC_JUDGE_CONCURRENCY="12") as judge,
        ThreadPoolExecutor(4) as threads,
    ):
        judgments = list(threads.map(lambda d, a: judge_answer(d, a, judge), docs, answers))
        assert server.most_at_once == 12
        assert len(server.requests) == 24
    assert [judgment.video_id for judgment in judgments] == [doc["video_id"] for doc in docs]
    assert all(judgment.scores for judgment in judgments)


def test_a_failed_judgment_is_not_asked_for_again_by_the_same_run(tmp_path: Path) -> None:
    docs = documents(3)
    answers = filtered(["a", "b", "c"], docs)
    with (
        JudgeServer(lambda asked: junk() if "reference 1" in asked.user else scores()) as server,
        paid_judge(server, tmp_path, UGC_JUDGE_ATTEMPTS="1", UGC_JUDGE_DEADLINE="1") as judge,
    ):
        first = [judge_answer(d, a, judge) for d, a in zip(docs, answers, strict=True)]
        asked = len(server.requests)
        again = [judge_answer(d, a, judge) for d, a in zip(docs, answers, strict=True)]
        assert len(server.requests) == asked
    assert [judgment.failure is not None for judgment in first] == [False, True, False]
    assert again == first


def test_answers_about_the_background_are_judged_wide_as_captions_are(tmp_path: Path) -> None:
    docs = documents(8)
    answers = filtered([f"It stays in room {i}." for i in range(8)], docs)

    def script(asked: Asked) -> Act:
        return text('{"consistent": "yes"}' if "room 3" in asked.user else '{"consistent": "no"}')

    with (
        JudgeServer(script) as server,
        paid_judge(server, tmp_path, "background") as judge,
    ):
        judgments = [judge_answer(d, a, judge) for d, a in zip(docs, answers, strict=True)]
        assert len(server.requests) == 8
    scores = [judgment.scores for judgment in judgments]
    assert scores == [Scores(consistent=float(i == 3)) for i in range(8)]


def paid_judge(
    server: JudgeServer, folder: Path, question: str = "caption", **settings: str
) -> Judge:
    environment = {
        "UGC_JUDGE_PROFILE": "rubric",
        "OPENAI_API_KEY": "sk-loopback-0123456789",
        "OPENAI_BASE_URL": server.base_url,
    }
    return open_judge(environment | settings, home=None, cache=folder, question=question)


def test_every_repeat_of_every_answer_is_on_its_way_at_once(tmp_path: Path) -> None:
    docs = documents(6)
    answers = filtered([f"caption {i}" for i in range(6)], docs)
    many = together(4 * 3 + 1, scores())  # more than four documents' at a time

    def script(asked: Asked) -> Act:
        many(asked)
        return scores(3 + asked.seen)

    with (
        JudgeServer(script) as server,
        paid_judge(server, tmp_path, UGC_JUDGE_REPEATS="3") as judge,
        ThreadPoolExecutor(4) as threads,
    ):
        judgments = list(threads.map(lambda d, a: judge_answer(d, a, judge), docs, answers))
        assert len(server.requests) == 18
        assert server.most_at_once > 4 * 3
    assert [judgment.video_id for judgment in judgments] == [doc["video_id"] for doc in docs]
    assert all(judgment.scores and judgment.scores["visual"] == 4 for judgment in judgments)


def test_an_answer_keeps_its_place_and_story_when_stripped() -> None:
    told = Told(" caption \n")
    told.generation = {"heard": True}
    answer = filtered(["first", told], documents(2))[1]
    stripped = answer.strip()
    assert (stripped, stripped.place, stripped.prefetch) == ("caption", 1, answer.prefetch)
    assert stripped.read.generation == {"heard": True}


def test_lmms_evals_own_stripping_leaves_an_answer_an_answer() -> None:
    answer = filtered(["<think>Hm. A cat?</think> A cat sleeps. "], documents(1))[0]
    scored = strip_reasoning_tags(answer, LMMS_EVALS_TAGS)
    assert isinstance(scored, PlacedAnswer)
    assert scored == "A cat sleeps."


def test_what_it_will_take_is_said_once_for_all_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = documents(5)
    answers = filtered([f"caption {i}" for i in range(5)], docs)
    with JudgeServer() as server, paid_judge(server, tmp_path) as judge:
        for doc, answer in zip(docs, answers, strict=True):
            judge_answer(doc, answer, judge)
    said = capsys.readouterr().err
    assert said.count("judgments are needed") == 1
    assert "5 judgments are needed" in said


def test_in_batch_mode_one_batch_has_all_that_was_not_asked_before_and_nothing_is_paid_twice(
    tmp_path: Path,
) -> None:
    docs = documents(8)
    answers = filtered([f"caption {i}" for i in range(8)], docs)
    with (
        BatchServer() as server,
        paid_judge(server, tmp_path, UGC_JUDGE_MODE="batch") as judge,
    ):
        judgments = [judge_answer(d, a, judge) for d, a in zip(docs, answers, strict=True)]
        assert all(judgment.scores for judgment in judgments)
        (batch,) = server.batches.values()
        asked = [line["body"] for line in server.lines(batch)]
        asked += [request.body for request in server.requests]
    users = [body["messages"][-1]["content"] for body in asked]
    about = [re.findall(r"^reference (\d)$", user, re.MULTILINE) for user in users]
    assert sorted(about) == [[str(i)] for i in range(8)]
    assert len(server.requests) == 1, "only until it is known which answer is whose"


def test_nothing_is_asked_by_itself_while_a_batch_is_made_that_has_it(tmp_path: Path) -> None:
    docs = documents(4)
    answers = captions(docs)
    other = ThreadPoolExecutor(1)

    class Beginning(RecordingJudge):
        asked_before: Sequence[str] = ()

        def begin(self, items: Sequence[JudgeItem]) -> None:
            third = other.submit(judge_answer, docs[2], answers[2], self)
            wait([third], timeout=0.3)  # as long as it would take
            self.asked_before = list(self.asked)

    with Beginning(tmp_path / "store") as judge, other:
        for doc, answer in zip(docs[:2], answers, strict=False):
            judge_answer(doc, answer, judge)
    assert judge.asked_before == ["v0"]
    assert sorted(judge.asked) == ["v0", "v1", "v2", "v3"]


def test_what_is_on_the_wire_when_the_batch_is_made_is_not_in_the_batch_too(
    tmp_path: Path,
) -> None:
    docs = documents(4)
    answers = filtered([f"caption {i}" for i in range(4)], docs)

    def script(asked: Asked) -> Act:
        while not server.batches:  # the only single request waits until the batch is there
            time.sleep(0.01)
        return scores()

    with (
        BatchServer(script) as server,
        paid_judge(server, tmp_path, UGC_JUDGE_MODE="batch") as judge,
        ThreadPoolExecutor(1) as thread,
    ):
        first = thread.submit(judge_answer, docs[0], answers[0], judge)
        server.wait_for(1)
        assert judge_answer(docs[1], answers[1], judge).scores
        assert first.result().scores
        (batch,) = server.batches.values()
        assert len(server.lines(batch)) == 3
        assert len(server.requests) == 1


def test_reasoning_never_reaches_the_judge(tmp_path: Path) -> None:
    docs = documents(5)
    plain, thought = ["caption 0", "caption 1"], ["<think>secret</think>caption"] * 3
    answers = filtered(plain + thought, docs)  # the first two start the others
    with JudgeServer() as server, paid_judge(server, tmp_path) as judge:
        for doc, answer in zip(docs, answers, strict=True):
            judge_answer(doc, received([strip_reasoning_tags(answer, LMMS_EVALS_TAGS)], ""), judge)
        assert len(server.requests) == 5
        assert not any("secret" in asked.user for asked in server.requests)


def test_a_model_that_returns_nothing_gave_no_answer(judge: RecordingJudge) -> None:
    docs = documents(2)
    for nothing in ([None], []):
        answers = PrefetchFilter().apply([nothing, ["caption"]], docs)
        assert answers[0] == ""
        assert judge_answer(docs[0], answers[0], judge).failure == "the model gave no answer"
    assert judge.asked == []


def test_the_first_of_several_responses_counts() -> None:
    assert PrefetchFilter(unused=1).apply([["first", "second"]], documents(1)) == ["first"]


def test_an_answer_crosses_to_other_processes_and_files_as_text() -> None:
    answer = filtered(["Ein Büro."], documents(1))[0]
    copied = pickle.loads(pickle.dumps(answer))  # noqa: S301
    assert (type(copied), copied) == (str, "Ein Büro.")
    assert json.dumps([answer], ensure_ascii=False) == '["Ein Büro."]'
