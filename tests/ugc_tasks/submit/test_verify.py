"""A bundle holds as it was made; after a manipulation, all digests put right, it does not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ugc_tasks
from tests.support.annotations import write_annotations
from tests.support.judge_server import JudgeServer
from tests.support.reference import reference_dir
from tests.ugc_tasks.submit.conftest import COUNT, edit_manifest, edit_rows
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
from ugc_tasks.data.questions import read_questions
from ugc_tasks.results.facts import run_facts
from ugc_tasks.results.run_files import read_run
from ugc_tasks.submit.bundle import write_bundle
from ugc_tasks.submit.verify import verify

CAPTIONS = "ugc_videocap"
Rows = list[dict[str, Any]]


def refresh(bundle: Path, task: str = CAPTIONS) -> None:
    """State in ``bundle.json`` what the rows of a task say now, as a forger would."""
    path = bundle / "rows" / f"{task}.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = json.loads(json.dumps(run_facts(rows)))

    def restate(content: dict[str, Any]) -> None:
        content["tasks"][task].update(found, complete=found["n"] == found["of"])

    edit_manifest(bundle, restate)


def forged(bundle: Path, edit: Callable[[Rows], Any], task: str = CAPTIONS) -> None:
    edit_rows(bundle, task, edit)
    refresh(bundle, task)


def test_it_holds_as_it_was_made(bundle: Path, home: Home) -> None:
    found = verify(bundle, home)
    assert (found.problems, found.unchecked) == ([], [])
    assert found.rows == 4 * COUNT
    assert home.root is not None
    assert found.notes[0] == (
        f"caption was checked with {home.root / 'final_caption_qa.json'}, which is not the "
        "published file"
    )


# --- manipulations: what is done, and what is said ---


def raised_score(rows: Rows) -> None:
    """Visual from 20 to 100, and what follows from it in the row."""
    rows[0].update(visual=100.0, average=60.0, score=0.6)


def raised_average(rows: Rows) -> None:
    rows[0].update(average=100.0, score=1.0)


def raised_judgments(rows: Rows) -> None:
    """The row is consistent, but not with the judge's reply."""
    for judgment in rows[0]["judge"]["judgments"]:
        judgment["scores"] = dict.fromkeys(judgment["scores"], 5.0)
    rows[0].update(visual=100.0, audio=100.0, details=100.0, average=100.0, score=1.0)


def invented_replies(rows: Rows) -> None:
    """The reply is made to fit, but no request of this answer has its digest."""
    raised_judgments(rows)
    for judgment in rows[0]["judge"]["judgments"]:
        judgment["reply"] = '{"visual": 5, "audio": 5, "details": 5}'
        judgment["request_sha256"] = "0" * 64


def edited_prediction(rows: Rows) -> None:
    rows[1]["prediction"] += " And a dog."


def edited_reference(rows: Rows) -> None:
    rows[1]["reference"] = "Another reference."


def another_judge(rows: Rows) -> None:
    for row in rows:
        row["judge"]["label"] = "rubric/gpt-9/000000000000"


def swapped_judgments(rows: Rows) -> None:
    """The best clip's judgments for the worst clip's answer."""
    best, worst = rows[4], rows[0]
    worst["judge"] = best["judge"]
    for name in ("visual", "audio", "details", "average", "score"):
        worst[name] = best[name]


def dropped_clip(rows: Rows) -> None:
    del rows[0]


def dropped_failure(rows: Rows) -> None:
    del rows[-1]


def failure_into_zero(rows: Rows) -> None:
    rows[-1].update(visual=0.0, audio=0.0, details=0.0, average=0.0, score=0.0)
    rows[-1].update(n="PI-005", failure=None, coverage={"scored": True, "of": COUNT})


def score_into_failure(rows: Rows) -> None:
    """The worst clip is said to have failed; the judge's scores are still there."""
    rows[0].update(visual=None, audio=None, details=None, average=None, score=None, n=None)
    rows[0]["failure"] = {"kind": "judge", "reason": "content filter"}
    rows[0]["coverage"]["scored"] = False


def smaller_task(rows: Rows) -> None:
    """A partial run is called a full one."""
    del rows[-1]
    for row in rows:
        row["coverage"]["of"] = COUNT - 1


def mixed_runs(rows: Rows) -> None:
    rows[0]["decoding"], rows[1]["decoding"] = "32 frames", "64 frames"


def foreign_clip(rows: Rows) -> None:
    rows[0]["video_id"] = rows[0]["n"] = "PI-999"


def twice(rows: Rows) -> None:
    rows.append(dict(rows[0]))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (raised_score, "the figures are not those of the judge's replies"),
        (raised_average, "the average is not that of its dimensions (PI-000)"),
        (raised_judgments, "the judge's reply has other scores than are stated"),
        (invented_replies, "the judge was asked about another answer, or otherwise"),
        (edited_prediction, "the judge was asked about another answer, or otherwise"),
        (edited_reference, "the reference is not the benchmark's"),
        (another_judge, "was judged by rubric/gpt-9/000000000000"),
        (swapped_judgments, "the judge was asked about another answer, or otherwise"),
        (dropped_clip, "1 clips of the task have no row and are not stated as missing (PI-000)"),
        (dropped_failure, "1 clips of the task have no row and are not stated as missing (PI-005)"),
        (failure_into_zero, "the figures are not those of the judge's replies"),
        (score_into_failure, "the figures are not those of the judge's replies"),
        (smaller_task, "says that the task has 5 clips; it has 6"),
        (mixed_runs, "its rows are of several runs (decoding: 32 frames + 64 frames)"),
        (foreign_clip, "is no clip of the task"),
        (twice, "PI-000 is there twice"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_rows_of_captions_that_were_changed(
    bundle: Path, home: Home, edit: Callable[[Rows], Any], said: str
) -> None:
    if edit is twice:
        edit_rows(bundle, CAPTIONS, edit)
    else:
        forged(bundle, edit)
    problems = verify(bundle, home).problems
    assert any(said in problem for problem in problems), problems


def right_tone(rows: Rows) -> None:
    rows[0].update(tone=100.0, score=1.0, chosen=rows[0]["label"])


def better_overlap(rows: Rows) -> None:
    rows[4].update(ocr=100.0, score=1.0)


def other_object_score(rows: Rows) -> None:
    rows[0].update(objects=100.0, score=1.0)


@pytest.mark.parametrize(
    ("task", "edit", "said"),
    [
        ("ugc_videocap_tone", right_tone, "the answer has another score than is stated"),
        ("ugc_videocap_ocr", better_overlap, "the answer has another score than is stated"),
        ("ugc_videocap_objects", other_object_score, "not those of the judge's replies"),
    ],
)
def test_rows_of_other_tasks_that_were_changed(
    bundle: Path, home: Home, task: str, edit: Callable[[Rows], Any], said: str
) -> None:
    forged(bundle, edit, task)
    problems = verify(bundle, home).problems
    assert [said in problem for problem in problems] == [True], problems


def set_figure(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["figures"]["visual"] += 0.1


def set_interval(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["ci95"]["visual"] = [59.9, 60.1]


def hide_failures(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["failures"] = []


def call_full(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["complete"] = True


def claim_overall(content: dict[str, Any]) -> None:
    content.update(overall=70.0, overall_lacks=None)


def other_prompt(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["judge"]["label"] = "paper/gpt-4o-2024-08-06/cafecafecafe"


def other_annotations(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["annotations_sha256"] = "0" * 64


def call_published(content: dict[str, Any]) -> None:
    content["tasks"][CAPTIONS]["of_benchmark"] = False


def wrong_digest(content: dict[str, Any]) -> None:
    content["files"]["rows/ugc_videocap.jsonl"] = "0" * 64


def no_digest(content: dict[str, Any]) -> None:
    del content["files"]["rows/ugc_videocap.jsonl"]


def drop_task(content: dict[str, Any]) -> None:
    del content["tasks"]["ugc_videocap_tone"]


def unknown_key(content: dict[str, Any]) -> None:
    content["rank"] = 1


def newer(content: dict[str, Any]) -> None:
    content["schema"] = 2


def path_of_elsewhere(content: dict[str, Any]) -> None:
    content["files"]["rows/../../../etc/passwd"] = "0" * 64


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (set_figure, "figures is stated as"),
        (set_interval, "ci95 is stated as"),
        (hide_failures, "failures is stated as 0 entries, the rows give 1 entries"),
        (call_full, "complete is stated as True, the rows give False"),
        (claim_overall, "overall does not follow from the tasks' figures"),
        (other_prompt, "stated is paper/gpt-4o-2024-08-06/cafecafecafe"),
        (other_annotations, "was scored with other annotations than local"),
        (call_published, "of_benchmark is stated as False, the rows give True"),
        (wrong_digest, "rows/ugc_videocap.jsonl: its digest is not the stated one"),
        (no_digest, "the digest of rows/ugc_videocap.jsonl is not stated"),
        (drop_task, "rows/ugc_videocap_tone.jsonl is of no task that it states"),
        (unknown_key, "'rank' was unexpected"),
        (newer, "schema: 1 was expected"),
        (path_of_elsewhere, "files"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_statements_that_were_changed(
    bundle: Path, home: Home, edit: Callable[[dict[str, Any]], Any], said: str
) -> None:
    edit_manifest(bundle, edit)
    problems = verify(bundle, home).problems
    assert any(said in problem for problem in problems), problems


def test_the_rows_of_another_bundle(bundle: Path, home: Home, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    forged(other, lambda rows: [row.update(flags=["token_limit"]) for row in rows])
    shutil.copy(other / f"rows/{CAPTIONS}.jsonl", bundle / f"rows/{CAPTIONS}.jsonl")
    assert verify(bundle, home).problems == [
        f"rows/{CAPTIONS}.jsonl: its digest is not the stated one",
        f"bundle.json: {CAPTIONS}: flags is stated as None, the rows give "
        "{'answers': 6, 'labels': {'token_limit': 6}}",
    ]


def test_captions_judged_by_the_authors_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "home"
    shutil.copytree(reference_dir() / "questions", root)
    shutil.copytree(reference_dir() / "prompts", root / "prompts")
    clip = next(iter(read_questions(root / "final_caption_qa.json").references))
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(root))
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
    with JudgeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        report = ugc_tasks.score("caption", {clip: "A woman sings."}, profile="paper")
    (tmp_path / "scores.json").write_text(json.dumps(report.as_json("caption")))
    stated = write_bundle(read_run(tmp_path / "scores.json"), tmp_path / "bundle")
    facts = stated["tasks"][CAPTIONS]
    assert (facts["n"], facts["of"], facts["of_benchmark"]) == (1, 999, True)
    home = Home.from_env(os.environ)
    found = verify(tmp_path / "bundle", home)
    assert (found.problems, found.unchecked, found.notes) == ([], [], [])
    forged(tmp_path / "bundle", lambda rows: rows[0].update(prediction="A woman sings well."))
    [said] = verify(tmp_path / "bundle", home).problems
    assert "the judge was asked about another answer" in said


# --- what cannot be checked, and what is no bundle ---


def test_without_the_annotations_it_says_what_was_not_checked(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    nowhere = Home(None, tmp_path / "videos", tmp_path / "cache", allow_partial=True)
    found = verify(bundle, nowhere)
    assert found.problems == []
    assert [said.partition(":")[0] for said in found.unchecked] == [
        f"references and clips of {task}" for task in ("caption", "tone", "ocr", "objects")
    ]


def test_other_annotations_of_the_checker_are_a_difference(bundle: Path, tmp_path: Path) -> None:
    write_annotations(tmp_path, COUNT + 1)
    other = Home(tmp_path, tmp_path / "videos", tmp_path / "cache", allow_partial=True)
    assert any(
        "says that the task has 6 clips; it has 7" in p for p in verify(bundle, other).problems
    )


def test_a_judge_profile_that_is_not_ours_is_not_checked(bundle: Path, home: Home) -> None:
    edit_manifest(bundle, lambda c: c["tasks"][CAPTIONS]["judge"].update(profile="mine"))
    found = verify(bundle, home)
    assert found.problems == []
    assert found.unchecked == [
        "which answers of caption the judge was shown: the judge profile mine is not ours"
    ]


def test_a_version_with_other_prompts_cannot_make_the_requests_again(
    bundle: Path, home: Home
) -> None:
    edit_manifest(bundle, lambda c: c["tasks"][CAPTIONS]["judge"].update(prompt_sha256="0" * 64))
    [said] = verify(bundle, home).unchecked
    assert "has other prompts than the run had" in said


def test_the_same_problem_of_many_clips_is_one_sentence(bundle: Path, home: Home) -> None:
    forged(bundle, lambda rows: [row.update(reference="None.") for row in rows])
    [said] = [p for p in verify(bundle, home).problems if "reference" in p]
    assert said.endswith("(PI-000, PI-001, PI-002, PI-003, PI-004 and 1 more)")


@pytest.mark.parametrize("content", ["", "[1]", "{", '"x"', '{"tasks": 3}'])
def test_what_is_no_bundle_is_refused_or_found_wrong(
    tmp_path: Path, home: Home, content: str
) -> None:
    (tmp_path / "bundle.json").write_text(content)
    try:
        assert verify(tmp_path, home).problems
    except DataError as error:
        assert str(error)


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path, home: Home) -> None:
    with pytest.raises(DataError, match=r"is no bundle: there is no bundle\.json in it"):
        verify(tmp_path, replace(home))


ODD = (None, True, -1, "x", ["x"], {"x": 1})


def test_no_odd_value_in_a_row_is_a_fault_of_the_check(
    bundle: Path, home: Home, tmp_path: Path
) -> None:
    for task in ("ugc_videocap", "ugc_videocap_ocr"):
        path = bundle / "rows" / f"{task}.jsonl"
        lines = path.read_text("utf-8").splitlines()
        first = json.loads(lines[0])
        for key in first:
            without = {name: value for name, value in first.items() if name != key}
            for odd in (without, *({**first, key: value} for value in ODD)):
                path.write_text("\n".join([json.dumps(odd), *lines[1:]]), "utf-8")
                assert verify(bundle, home).problems, (task, key, odd.get(key))
        path.write_text("\n".join(lines) + "\n", "utf-8")


def test_no_odd_value_in_a_statement_is_a_fault_of_the_check(bundle: Path, home: Home) -> None:
    path = bundle / "bundle.json"
    content = json.loads(path.read_text("utf-8"))
    facts = content["tasks"][CAPTIONS]
    for part in (content, facts, facts["judge"]):
        for key, value in list(part.items()):
            for odd in ODD:
                part[key] = odd
                path.write_text(json.dumps(content), "utf-8")
                with suppress(DataError):
                    verify(bundle, home)
            part[key] = value


def test_hostile_texts_are_shown_harmless(bundle: Path, home: Home) -> None:
    edit_manifest(bundle, lambda content: content.update({"\x1b[2J\u202e": "x"}))
    for said in verify(bundle, home).problems:
        assert said.isprintable()
