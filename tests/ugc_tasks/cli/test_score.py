"""``ugc-videocap score``: what it prints where, and its exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import JudgeServer, scores, text
from tests.support.reference import reference_dir
from ugc_tasks.cli.main import main

TONES = ["Positive", "Negative", "Neutral"]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Annotations of three clips: captions, tones, texts."""
    ids = ["PI-1", "PI-2", "PI-3"]
    captions = [{"video_id": i, "answer": f"A cat sits on mat {i}."} for i in ids]
    tones = [{"video_id": i, "answer": "positive", "options": TONES} for i in ids]
    (tmp_path / "final_caption_qa.json").write_text(dumped("What happens?", captions))
    (tmp_path / "tone.json").write_text(dumped("Which tone?", tones))
    (tmp_path / "ocr.jsonl").write_text(
        "\n".join(json.dumps({"video_id": i, "ocr": ["hello world"]}) for i in ids)
    )
    return tmp_path


def dumped(question: str, samples: Any) -> str:
    return json.dumps({"question": question, "samples": samples})


def saved(folder: Path, content: Any) -> Path:
    path = folder / "saved.json"
    path.write_text(json.dumps(content))
    return path


def score(*arguments: str | Path) -> int:
    return main(["score", *map(str, arguments)])


def test_stdout_is_one_json_object_and_the_rest_is_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = saved(folder, {"PI-1": "Positive", "PI-2": "B", "PI-3": "?", "PI-9": "A"})
    assert score("tone", answers, "--references", folder, "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert (report["task"], report["n"], report["failed"]) == ("tone", 3, 0)
    assert report["metrics"]["accuracy"] == pytest.approx(100 / 3)
    assert (report["metrics"]["constant"], report["metrics"]["unanswered"]) == (100.0, 1)
    assert report["estimate"] is False
    assert [item["video_id"] for item in report["items"]] == ["PI-1", "PI-2", "PI-3"]
    assert report["unknown"] == ["PI-9"]
    assert "1 answers are to what is not an id of this benchmark, and do not count: PI-9" in (
        printed.err.splitlines()
    )


def test_a_missing_answer_is_a_partial_result(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = saved(folder, {"PI-1": "Positive", "PI-2": "B"})
    assert score("tone", answers, "--references", folder, "--json") == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["missing"] == ["PI-3"]
    assert "1 clips of the task have no answer: PI-3" in printed.err


STRAY = "PI-0abb79ae-18ae-40d9-a66f-3ad7744a6095"


def test_a_typo_is_no_clip_without_a_public_reference(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "BGM.json").write_text(dumped("?", [{"video_id": "PI-8", "answer": "No"}]))
    (folder / "object.json").write_text("of another task, and broken")
    three = {f"PI-{i}": "Positive" for i in (1, 2, 3)}
    answers = saved(folder, three | {STRAY: "A", "PI-l": "B", "PI-8": "C"})
    assert score("tone", answers, "--references", folder, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["unknown"] == [STRAY, "PI-l", "PI-8"]
    assert printed.err.splitlines()[:3] == [
        f"1 answers are to clips without a public reference, and do not count: {STRAY}",
        "1 answers are to clips that this task does not ask about, and do not count: PI-8",
        "1 answers are to what is not an id of this benchmark, and do not count: PI-l",
    ]


def test_where_the_other_tasks_are_not_at_hand_a_clip_of_theirs_is_not_called_a_typo(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "final_caption_qa.json").unlink()
    (folder / "tone.json").unlink()
    answers = saved(folder, {f"PI-{i}": ["hello"] for i in (1, 2, 3, 4)})
    assert score("ocr", answers, "--references", folder) == 0
    assert (
        "1 answers are to what is not an id of this benchmark, or of a clip that this task does "
        "not ask about, and do not count: PI-4"
    ) in capsys.readouterr().err


def test_a_file_that_lacks_a_clip_may_be_enough(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = saved(folder, {"PI-1": "Positive", "PI-2": "B"})
    assert score("tone", answers, "--references", folder, "--allow-missing", "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert (report["n"], report["missing"]) == (2, ["PI-3"])
    assert "1 clips of the task have no answer: PI-3" in printed.err
    answers = saved(folder, {"PI-1": "Positive", "PI-2": None})
    assert score("tone", answers, "--references", folder, "--allow-missing") == 3, "one failed"
    answers = saved(folder, {"PI-1": None})
    assert score("tone", answers, "--references", folder, "--allow-missing") == 3, "nothing scored"


def test_the_field_that_is_the_model_s_is_named_by_the_user(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``answer`` is the truth here: 100 % would be a wrong number without a word."""
    rows = [{"video_id": f"PI-{i}", "answer": "positive", "pred": "Negative"} for i in (1, 2, 3)]
    arguments = ["tone", saved(folder, rows), "--references", folder, "--json"]
    assert score(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert 'row 1: 2 fields could be the model\'s text, "answer" and "pred"; say which with' in (
        printed.err
    )
    assert "--answer-field" in printed.err
    assert score(*arguments, "--answer-field", "pred") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == 0.0


def test_answers_that_equal_their_references_are_noted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"video_id": f"PI-{i}", "answer": "positive"} for i in (1, 2, 3)]
    assert score("tone", saved(folder, rows), "--references", folder) == 0
    assert "note: 3 of 3 answers are the same as their references" in capsys.readouterr().err
    texts = {f"PI-{i}": ["hello world"] for i in (1, 2, 3)}
    assert score("ocr", saved(folder, texts), "--references", folder) == 0
    assert "note: 3 of 3 answers are the same as their references" in capsys.readouterr().err
    captions = {f"PI-{i}": f"A cat sits on mat PI-{i}." for i in (1, 2, 3)}
    arguments = ["--references", folder, "--profile", "offline"]
    assert score("caption", saved(folder, captions), *arguments) == 0
    assert "note: 3 of 3 answers are the same as their references" in capsys.readouterr().err


def test_a_table_is_scored_like_any_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "answers.csv"
    path.write_text("video,prediction\nC:\\clips\\PI-1.MP4,A\nPI-2.mp4,Positive\nPI-3,B\n")
    assert score("tone", path, "--references", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == pytest.approx(200 / 3)


def test_answers_of_another_task_are_refused_by_what_they_look_like(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = {f"PI-{i}": "A cat sits on a mat, and then it walks away. " * 4 for i in (1, 2, 3)}
    assert score("tone", saved(folder, captions), "--references", folder) == 2
    assert "3 of 3 answers are long texts that name none of the options" in capsys.readouterr().err
    letters = {f"PI-{i}": letter for i, letter in zip((1, 2, 3), "ABC", strict=True)}
    assert score("caption", saved(folder, letters), "--references", folder) == 2
    assert "3 of 3 answers are options or letters" in capsys.readouterr().err


def test_samples_without_ids_are_scored_by_number_and_reference(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"doc_id": i, "target": "Positive", "filtered_resps": "ABC"[i]} for i in range(3)]
    path = folder / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert score("tone", path, "--references", folder, "--json") == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert [(i["video_id"], i["chosen"]) for i in items] == [
        ("PI-1", "Positive"),
        ("PI-2", "Negative"),
        ("PI-3", "Neutral"),
    ]


ODD: list[Any] = [5, "x", [], {}, None, True, {"flags": 5, "error": [], "seconds": 1e999}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_values_cost_no_more_than_their_clip_and_the_output_is_json(
    folder: Path, capsys: pytest.CaptureFixture[str], odd: Any
) -> None:
    rows: list[Any] = [{"video_id": f"PI-{i}", "filtered_resps": "A cat."} for i in (1, 2, 3)]
    rows[1] |= {"generation": odd, "target": odd}
    path = folder / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert score("caption", path, "--references", folder, "--profile", "offline", "--json") == 0
    report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert report["n"] == 3


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "/proc/self/mem", "."])
def test_what_is_no_file_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(folder)
    os.mkfifo("pipe")
    for command in (["score", "tone", path, "--references", "."], ["summarize", path]):
        assert main(command) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert f"{path}: " in printed.err


def test_a_person_reads_the_figures_with_their_intervals(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = saved(folder, {i: ["hello world"] for i in ("PI-1", "PI-2", "PI-3")})
    assert score("ocr", answers, "--references", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ocr: n 3, failed 0, missing 0"
    assert lines[1].split() == ["ocr", "100.00", "[100.00,", "100.00]"]


def test_the_free_estimate_is_called_one_wherever_it_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = saved(folder, [{"video_id": f"PI-{i}", "caption": "A cat sits."} for i in (1, 2, 3)])
    assert score("caption", answers, "--references", folder, "--profile", "offline", "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["estimate"] is True
    assert set(report["metrics"]) == {
        "visual_estimate", "audio_estimate", "details_estimate", "average_estimate"
    }  # fmt: skip
    assert "no judge was asked" in printed.err
    assert score("caption", answers, "--references", folder, "--profile", "offline") == 0
    assert "spent" not in capsys.readouterr().out


def test_a_judge_that_is_named_goes_before_the_environments_and_is_of_this_call_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = saved(folder, {f"PI-{i}": "A cat sits." for i in (1, 2, 3)})
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "none")
    assert score("caption", answers, "--references", folder, "--profile", "offline") == 0
    assert score("caption", answers, "--references", folder) == 2
    assert "'none' scores nothing" in capsys.readouterr().err


def test_of_many_clips_a_few_are_named_and_the_others_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = {f"PI-{i}": "Positive" for i in (1, 2, 3)} | {f"X-{i}": "A" for i in range(7)}
    assert score("tone", saved(folder, tones), "--references", folder) == 0
    assert "do not count: X-0, X-1, X-2, X-3, X-4 and 2 more\n" in capsys.readouterr().err


def test_whoever_failed_each_clip_without_a_score_is_named_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tone.json").rename(folder / "object.json")
    rows = [
        {"video_id": "PI-1", "answer": "A red cup."},
        {"video_id": "PI-2", "answer": "A blue cup."},
        {"video_id": "PI-3", "error": "blocked"},
    ]
    with JudgeServer(
        lambda asked: text('{"match_score": 1}' if "red" in asked.user else "Sorry.")
    ) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("UGC_JUDGE_ATTEMPTS", "1")
        arguments = ["--references", folder, "--profile", "rubric", "--allow-missing"]
        assert score("objects", saved(folder, rows), *arguments) == 3
    said = capsys.readouterr().err
    assert "2 clips could not be scored: PI-2, PI-3\n" in said
    assert "reason: blocked\n" in said
    assert said.count("reason: ") == 2


def test_captions_are_scored_by_a_judge_over_the_network(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-loopback-0123456789"
    rows = [{"video_id": "PI-1", "caption": "A cat."}, {"video_id": "PI-2", "error": "blocked"}]
    with JudgeServer() as server:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        arguments = ["caption", saved(folder, rows), "--references", folder, "--profile", "rubric"]
        assert score(*arguments, "--json") == 3
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["metrics"] == pytest.approx(
        {"visual": 80.0, "audio": 60.0, "details": 80.0, "average": 220 / 3}
    )
    assert (report["n"], report["failed"], report["missing"]) == (1, 1, ["PI-3"])
    assert "1 clips could not be scored: PI-2" in printed.err
    assert "reason: blocked" in printed.err
    assert key not in printed.out + printed.err


def test_a_person_reads_how_noisy_the_judge_is_under_the_figures(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = saved(folder, {f"PI-{i}": f"Cat number {i}." for i in (1, 2, 3)})
    with JudgeServer(lambda asked: scores(3 + asked.seen, 3, 3)) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("UGC_JUDGE_REPEATS", "2")
        assert score("caption", answers, "--references", folder, "--profile", "rubric") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[5].startswith("average")
    assert lines[6].startswith("spent                $0.0116 for 6 judgments")
    assert lines[7].split(None, 1) == ["judge_repeats", "2 of each clip, all 6 came"]
    assert lines[9].split("  ")[-1] == "enough"
    assert [line.split()[:2] for line in lines[10:14]] == [
        ["visual", "200.0"],
        ["audio", "0.0"],
        ["details", "0.0"],
        ["average", "22.2"],
    ]
    assert len({len(line) for line in lines[9:14]}) == 1, "a table"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["tone", "--mode", "skip"], "--mode: tone has no modes"),
        (["ocr", "--profile", "offline"], "--profile: no judge is asked about ocr"),
        (["tone", "--references", "nowhere"], "--references: nowhere is not a folder"),
        (["caption", "--profile", "paper"], "needs OPENAI_API_KEY"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_spent(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    given = [] if "--references" in arguments else ["--references", folder]
    task, *options = arguments
    assert score(task, saved(folder, {"PI-1": "A cat."}), *given, *options) == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert printed.out == ""


def test_duplicates_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = saved(folder, [{"video_id": "PI-1", "answer": "A"}] * 2)
    assert score("tone", answers, "--references", folder) == 2
    assert "answered more than once: PI-1" in capsys.readouterr().err


def test_recorded_ocr_gives_the_published_figure_without_a_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert score("ocr", reference_dir() / "ocr" / "ocr_omni3b.jsonl", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (round(report["metrics"]["ocr"], 2), report["n"]) == (56.08, 826)


def test_of_recorded_captions_those_without_a_public_reference_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = reference_dir()
    status = score(
        "caption",
        reference / "captions" / "gemini_2.5_flash.jsonl",
        "--references", reference / "questions",
        "--profile", "offline",
        "--json",
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert status == 3
    assert (report["n"], len(report["missing"])) == (995, 4)
    assert report["unknown"] == ["PI-0abb79ae-18ae-40d9-a66f-3ad7744a6095"]


# --- what it would cost ---

CAPTIONS = {"PI-1": "A cat.", "PI-2": "A dog.", "PI-3": ""}
PAID = ("--profile", "rubric", "--dry-run")


def test_a_dry_run_says_what_judging_would_cost_without_a_key(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = saved(folder, CAPTIONS)
    assert score("caption", answers, "--references", folder, *PAID, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["needed"], said["stored"], said["to_ask"]) == (2, 0, 2), "no empty caption"
    assert said["judge"].startswith("rubric/gpt-4o-2024-08-06/")
    assert said["prompt_tokens"] > 200
    assert said["completion_tokens"] == 50
    assert 0.0005 < said["usd"] < 0.05
    assert score("caption", answers, "--references", folder, *PAID) == 0
    assert "2 judgments are needed, 0 are stored, 2 are to be asked for" in capsys.readouterr().out


def test_a_dry_run_asks_nothing_and_knows_what_is_on_disk(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = saved(folder, CAPTIONS)
    with JudgeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        arguments = ("caption", answers, "--references", folder, "--json")
        assert score(*arguments, *PAID) == 0
        assert server.requests == []
        before = json.loads(capsys.readouterr().out)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        assert score(*arguments, "--profile", "rubric") == 3, "one has no caption"
        capsys.readouterr()
        asked = len(server.requests)
        assert score(*arguments, *PAID) == 0
        after = json.loads(capsys.readouterr().out)
        assert len(server.requests) == asked == 2
    assert (before["to_ask"], after["stored"], after["to_ask"], after["usd"]) == (2, 2, 0, 0.0)


def test_a_dry_run_without_a_known_price_has_the_tokens_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_JUDGE_MODEL", "my-own-judge")
    answers = saved(folder, CAPTIONS)
    assert score("caption", answers, "--references", folder, *PAID, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["usd"], said["price"], said["to_ask"]) == (None, None, 2)
    assert score("caption", answers, "--references", folder, *PAID) == 0
    assert "what that costs is not known" in capsys.readouterr().out


def test_where_no_judge_is_asked_a_dry_run_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = saved(folder, {"PI-1": "Positive", "PI-2": "B", "PI-3": "?"})
    assert score("tone", tones, "--references", folder, "--dry-run") == 0
    assert "no judge is asked, so it costs nothing" in capsys.readouterr().out
    captions = saved(folder, CAPTIONS)
    offline = ("--references", folder, "--profile", "offline", "--dry-run", "--json")
    assert score("caption", captions, *offline) == 0
    assert json.loads(capsys.readouterr().out)["usd"] == 0.0
