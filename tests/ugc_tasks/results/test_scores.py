"""Score files, the authors' and ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ugc_tasks.common.files import DataError
from ugc_tasks.judge.parsing import DIMENSIONS
from ugc_tasks.judge.types import Judgment
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.answers import NOT_SAVED
from ugc_tasks.results.rows import judged_row, row
from ugc_tasks.results.scores import clip_scores, named_judge, read_scores
from ugc_tasks.results.summary import doubts, summarize


def written(folder: Path, content: Any) -> Path:
    path = folder / "scores.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def evaluation(visual: Any = 4, audio: Any = 3, details: Any = 5) -> dict[str, Any]:
    return {"visual_score": visual, "audio_score": audio, "details_score": details}


def sample(video_id: str, *, suffix: str = "", judge: str = "a judge", **more: Any) -> Any:
    names = {"visual": 80.0, "audio": 60.0, "details": 100.0, "average": 80.0}
    scored = {name + suffix: value for name, value in names.items()}
    return {
        "video_id": video_id,
        "judge": judge,
        "coverage": {"scored": True, "of": 9},
        **scored,
        **more,
    }


def failure(video_id: str, **reasons: str) -> Any:
    empty = {"caption_failed": "", "judge_failed": ""}
    return {
        "video_id": video_id,
        "judge": "a judge",
        "coverage": {"scored": False, "of": 9},
        **empty,
        **reasons,
    }


def test_the_authors_scores_are_put_on_the_published_scale(tmp_path: Path) -> None:
    content = {"evaluations": {"PI-1": evaluation()}, "overall_average_percent": 80.0}
    scores = read_scores(written(tmp_path, content))
    assert scores.clips == {"PI-1": clip_scores(visual=80.0, audio=60.0, details=100.0)}
    assert scores.clips["PI-1"]["average"] == 80.0
    assert (scores.judge, scores.estimate, scores.wanted) == (None, False, None)
    assert scores.stated_average == 80.0


def test_a_stored_zero_is_a_failure_and_is_reported(tmp_path: Path) -> None:
    content = {
        "evaluations": {
            "PI-1": evaluation(),
            "PI-2": evaluation(0, 0, 0),
            "PI-3": evaluation(5, 0, 1),
        }
    }
    scores = read_scores(written(tmp_path, content))
    assert list(scores.clips) == ["PI-1"]
    assert list(scores.zeros) == list(scores.failed) == ["PI-2", "PI-3"]
    assert "stored as 0" in scores.failed["PI-2"]
    row = summarize(scores)
    assert (row["n"], row["zeros"], row["failed"], row["average"]) == (1, 2, 0, 80.0)
    assert (row["with_zeros"]["n"], row["with_zeros"]["average"]) == (3, 40.0)


def test_files_of_others_who_use_the_authors_script_are_read(tmp_path: Path) -> None:
    whole = {"overall_visual_average": 3.5, "overall_average_percent": 80.0}
    content = {"evaluations": {"PI-1.mp4": evaluation(), "PI-2": evaluation(5, 5, 5)}, **whole}
    path = tmp_path / "eval_results_Qwen3-8B.json"
    path.write_text(json.dumps(content))
    scores = read_scores(path)
    assert list(scores.clips) == ["PI-1", "PI-2"]
    assert scores.judge == "Qwen3-8B"
    content["evaluations"]["PI-1"] = evaluation()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="twice"):
        read_scores(path)


def test_a_judge_is_named_where_a_file_names_none(tmp_path: Path) -> None:
    scores = read_scores(written(tmp_path, {"evaluations": {"PI-1": evaluation()}}))
    assert named_judge(scores, None).judge is None
    assert named_judge(scores, "gpt-4o").judge == "gpt-4o"
    with pytest.raises(DataError, match="leave it out"):
        named_judge(named_judge(scores, "gpt-4o"), "another")


def test_a_samples_file_has_scores_and_failures(tmp_path: Path) -> None:
    rows = [
        sample("PI-1"),
        failure("PI-2", caption_failed="broken clip"),
        failure("PI-3", judge_failed="no reply"),
        failure("PI-4"),
    ]
    scores = read_scores(written(tmp_path, "\n".join(json.dumps(row) for row in rows)))
    assert scores.clips == {"PI-1": clip_scores(80.0, 60.0, 100.0)}
    assert scores.failed == {"PI-2": "broken clip", "PI-3": "no reply", "PI-4": "not judged"}
    assert (scores.judge, scores.estimate, scores.wanted) == ("a judge", False, 9)


def test_a_failure_that_was_judged_as_if_it_were_a_caption_has_no_score(tmp_path: Path) -> None:
    rows = [
        sample("PI-1") | {"prediction": "A sign says [LMMS_EVAL_BUDGET_EXCEEDED]."},
        sample("PI-2") | {"prediction": "[LMMS_EVAL_BUDGET_EXCEEDED]"},
    ]
    scores = read_scores(written(tmp_path, "\n".join(json.dumps(row) for row in rows)))
    assert list(scores.clips) == ["PI-1"]
    assert list(scores.failed) == ["PI-2"]
    assert "[LMMS_EVAL_BUDGET_EXCEEDED]" in scores.failed["PI-2"]
    assert "which was judged as an answer" in scores.failed["PI-2"]


def current(video_id: str, grades: Any, **more: Any) -> dict[str, Any]:
    """Return a row as it is written today: of a judged caption, or of one that failed."""
    scores = None if grades is None else dict(zip(DIMENSIONS, grades, strict=True))
    judgment = Judgment(video_id, scores, model="m", fingerprint="fp", **more)
    return judged_row(
        *("caption", video_id, ModelAnswer("A caption.", more.get("failure") or ""), judgment),
        judge={"label": "a judge", "estimate": False},
        reference="reference",
        clip=None,
        wanted=9,
    )


def test_rows_of_today_are_read(tmp_path: Path) -> None:
    rows = [current("PI-1", (4, 3, 5)), current("PI-2", None, failure="broken clip")]
    rows.append({**current("PI-3", None, failure="x"), "failure": None})
    scores = read_scores(written(tmp_path, "\n".join(map(json.dumps, rows))))
    assert scores.clips == {"PI-1": clip_scores(80.0, 60.0, 100.0)}
    assert scores.failed == {"PI-2": "broken clip", "PI-3": "not judged"}
    assert (scores.judge, scores.wanted, scores.ran) == ("a judge", 9, {"m fp"})


@pytest.mark.parametrize(
    "judge",
    [{"label": "a judge"}, {"label": "a judge", "judgments": 5}]
    + [{"label": "a judge", "judgments": said} for said in ([5], [{"model": []}], [{}], {})],
)
def test_an_odd_judge_in_a_row_costs_no_score(tmp_path: Path, judge: Any) -> None:
    scores = read_scores(written(tmp_path, [{**current("PI-1", (4, 3, 5)), "judge": judge}]))
    assert (scores.judge, scores.ran) == ("a judge", frozenset())


@pytest.mark.parametrize("failure", [5, {"reason": 5}, {"kind": "judge"}, [], "no reply"])
def test_an_odd_failure_in_a_row_is_one_still(tmp_path: Path, failure: Any) -> None:
    row = {**current("PI-1", None, failure="x"), "failure": failure}
    assert list(read_scores(written(tmp_path, [row])).failed) == ["PI-1"]


def test_rows_of_another_task_have_its_figure(tmp_path: Path) -> None:
    answer = ModelAnswer("A")
    rows = [
        row("tone", f"PI-{i}", answer, {"tone": right}, reference="A", clip=None, wanted=2)
        for i, right in enumerate((100.0, 0.0))
    ]
    scores = read_scores(written(tmp_path, rows))
    assert (scores.task, scores.clips) == ("tone", {"PI-0": {"tone": 100}, "PI-1": {"tone": 0}})
    rows[0]["tone"] = 101
    with pytest.raises(DataError, match="PI-0 has no tone score from 0 to 100"):
        read_scores(written(tmp_path, rows))


def test_of_a_folder_the_newest_samples_file_is_read_and_called_by_the_models_name(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "results" / "org__model"
    folder.mkdir(parents=True)
    for date, grade in (("1_", 20), ("2_", 40)):
        scored = {**sample("PI-1"), "visual": grade}
        (folder / f"{date}samples_ugc_videocap.jsonl").write_text(json.dumps(scored))
        os.utime(folder / f"{date}samples_ugc_videocap.jsonl", (grade, grade))
    for place in (folder, tmp_path / "results"):
        scores = read_scores(place)
        assert (scores.clips["PI-1"]["visual"], scores.name) == (40, "org/model")
    (folder / "2_run.json").write_text('{"name": "my model"}')
    assert read_scores(folder).name == "my model"
    for odd in ("{", '{"name": 5}', "{}"):
        (folder / "2_run.json").write_text(odd)
        assert read_scores(folder).name == "org/model"
    with pytest.raises(DataError, match="no samples file of ugc_videocap_tone in it"):
        read_scores(folder, "tone")


def test_each_judgment_of_a_clip_is_there_as_far_as_it_has_scores(tmp_path: Path) -> None:
    odd = {
        "label": "j",
        "judgments": [
            {"scores": {"visual": 4}},
            {"scores": None},
            5,
            {"scores": {"visual": "x"}},
            {},
        ],
    }
    scores = read_scores(written(tmp_path, [{**sample("PI-1"), "judge": odd}]))
    assert scores.judgments("PI-1") == [{"visual": 4}]
    assert scores.judgments("PI-2") == []


def test_who_really_judged_is_read_from_the_rows(tmp_path: Path) -> None:
    rows = [sample("PI-1", judge_ran="m fp_1"), sample("PI-2", judge_ran="m fp_1 + m fp_2"),
            sample("PI-3", judge_ran=""), sample("PI-4", judge_ran=7), sample("PI-5")]  # fmt: skip
    scores = read_scores(written(tmp_path, "\n".join(json.dumps(row) for row in rows)))
    assert scores.ran == {"m fp_1", "m fp_2"}


@pytest.mark.parametrize("ran", [" + ", "+", "  ", "", 5, [], {"a": 1}, None])
def test_a_judge_that_ran_and_has_no_name_is_none(tmp_path: Path, ran: Any) -> None:
    scores = read_scores(written(tmp_path, [sample("PI-1", judge_ran=ran)]))
    assert scores.ran == frozenset()
    (row,) = [summarize(scores)]
    assert row["average"] == 80.0
    assert doubts([scores, scores]) == []


@pytest.mark.parametrize(
    ("coverage", "wanted"),
    [({"scored": True, "of": 9}, 9), ({"scored": True, "of": 0}, None), ({"of": True}, None),
     ({"of": 9.5}, None), ({"of": 10**9}, None), ({}, None),
     ("1/9", 9), ("1/0", None), ("1/-9", None), ("1/" + "9" * 400, None),
      (5, None), ([], None), (None, None), ("", None)],
)  # fmt: skip
def test_the_number_of_clips_is_read_from_rows_that_have_one(
    tmp_path: Path, coverage: Any, wanted: int | None
) -> None:
    scores = read_scores(written(tmp_path, [sample("PI-1", coverage=coverage)]))
    assert scores.wanted == wanted


def test_a_reason_of_another_type_is_a_failure_still(tmp_path: Path) -> None:
    rows = [
        failure("PI-1") | {"judge_failed": {"code": 5}},
        failure("PI-2") | {"caption_failed": 5},
    ]
    scores = read_scores(written(tmp_path, rows))
    assert scores.failed == {"PI-1": "an object", "PI-2": "the number 5"}
    assert scores.unanswered == ()
    missing = failure("PI-3", caption_failed=NOT_SAVED)
    assert read_scores(written(tmp_path, [*rows, missing])).unanswered == ("PI-3",)


def test_an_average_that_is_no_number_is_not_stated(tmp_path: Path) -> None:
    for stated in ("80", None, [80.0], True, 10**400):
        content = {"evaluations": {"PI-1": evaluation()}, "overall_average_percent": stated}
        assert read_scores(written(tmp_path, content)).stated_average is None


def test_an_estimate_is_known_as_one(tmp_path: Path) -> None:
    path = written(tmp_path, [sample("PI-1", suffix="_estimate"), failure("PI-2")])
    assert read_scores(path).estimate


def test_what_our_score_command_prints_is_a_score_file(tmp_path: Path) -> None:
    path = written(tmp_path, {"task": "caption", "n": 1, "items": [sample("PI-1")]})
    assert list(read_scores(path).clips) == ["PI-1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"evaluations": {}}, "'evaluations' is to be an object"),
        ({"evaluations": {"PI-1": None}}, '"PI-1" has no scores'),
        ({"evaluations": {"PI-1": evaluation(6)}}, "no visual score from 0 to 5, but the number 6"),
        ({"evaluations": {"PI-1": evaluation(-1)}}, "no visual score from 0 to 5, but the number"),
        ({"evaluations": {"PI-1": evaluation(10**400)}}, "no visual score from 0 to 5, but the nu"),
        ({"evaluations": {"PI-1": evaluation([5])}}, "no visual score from 0 to 5, but a list"),
        ({"evaluations": {"PI-1": evaluation(audio=True)}}, "no audio score from 0 to 5, but true"),
        ({"evaluations": {"PI-1": evaluation(details="4")}}, "no details score"),
        ({"evaluations": {"PI-1": {"visual_score": 1}}}, "no audio score from 0 to 5, but null"),
        ('{"evaluations": {"PI-1": {"visual_score": NaN}}}', "no visual score from 0 to 5, but n"),
        ('{"evaluations": {"PI-1": {"visual_score": 1e999}}}', "no visual score from 0 to 5, but"),
        ('{"evaluations": {"PI-1": {}, "PI-1": {}}}', '"PI-1" is there twice'),
        ({"evaluations": []}, "'evaluations' is to be an object"),
        ([sample("PI-1", judge=["a"])], "row 1: 'judge' is to be the judge's label, .* a list"),
        ([sample("PI-1", judge=5)], "row 1: 'judge' is to be the judge's label, .* the number 5"),
        ([5], "row 1: a row is an object"),
        ([{"video_id": None}], "row 1: there is no usable video_id: null"),
        ([{"audio": 5.0}], "row 1: there is no usable video_id: none is there"),
        ([sample("PI-1"), sample("PI-1")], "row 2: PI-1 is there twice"),
        ([sample("PI-1") | {"audio": 101}], "PI-1 has no audio score from 0 to 100, but the n"),
        ([sample("PI-1"), sample("PI-2", judge="b")], "several judges in one file"),
        ([sample("PI-1"), sample("PI-2", suffix="_estimate")], "several judges in one file"),
        ([{"video_id": "PI-1", "caption": "text"}], "row 1: neither scores nor a failure"),
        ({"task": "ocr", "items": []}, "expected is a score file"),
        ({"task": "chess", "items": []}, 'scores of the task the text "chess", which is none of'),
        ({"task": [], "items": []}, "scores of the task a list, which is none of ours"),
        ([sample("PI-1", task="chess")], "its rows are not of one task of ours"),
        ([sample("PI-1"), sample("PI-2", task="tone")], "its rows are not of one task of ours"),
        ({"results": {}}, "expected is a score file"),
        ([], "expected is a score file"),
    ],
)
def test_what_is_no_score_file_is_refused_in_one_sentence(
    tmp_path: Path, content: Any, reason: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=reason) as error:
        read_scores(path)
    assert str(error.value).startswith(str(path))
