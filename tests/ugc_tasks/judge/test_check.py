"""``ugc-videocap judge-check`` tells a judge that is fit from those that are not."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support import graders
from tests.support.judge_server import Act, Asked, JudgeServer, Script, scores, status
from tests.support.reference import reference_dir
from ugc_tasks.cli.main import main
from ugc_tasks.judge.check import KINDS
from ugc_tasks.judge.protocol.profiles import rubric_profile

KEY = "sk-canary-4cb1d8f0a7e2"
Checked = tuple[int, dict[str, Any]]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UGC_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "rubric")
    monkeypatch.setenv("UGC_JUDGE_DEADLINE", "3")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Check a judge with a script; gives the exit status and what ``--json`` prints."""

    def run(script: Script, *arguments: str) -> Checked:
        with JudgeServer(script) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            code = main(["judge-check", "--json", *arguments])
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
        return code, json.loads(printed.out)

    return run


def failing(report: dict[str, Any]) -> set[str]:
    return {finding["name"] for finding in report["findings"] if not finding["holds"]}


def test_repeats_are_a_runs_and_not_asked_for_here(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_JUDGE_REPEATS", "5")
    code, report = check(graders.sane)
    assert (code, report["asked"], report["judge"]["repeats"]) == (0, 18, 1)


def test_a_sane_judge_is_fit(check: Any) -> None:
    code, report = check(graders.sane)
    assert (code, report["fit"], failing(report)) == (0, True, set())
    assert list(report["means"]) == list(KINDS)
    assert report["means"]["perfect"] > report["means"]["partial"] > report["means"]["wrong"]
    assert report["asked"] == 18
    assert report["prompt_tokens"] == 18 * 700
    assert report["completion_tokens"] == 18 * 18
    assert any("another language" in remark for remark in report["remarks"])


def test_the_published_judge_is_checked_with_its_own_prompt(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_VIDEOCAP_HOME", str(reference_dir()))
    code, report = check(graders.sane, "--profile", "paper", "--model", "another")
    assert code == 0
    assert report["judge"]["label"].startswith("paper/another/")


def test_a_judge_that_gives_five_to_all_does_not_rank(check: Any) -> None:
    code, report = check(graders.generous)
    assert code == 1
    assert failing(report) == {"ranks", "gives nothing for nothing"}


def test_a_judge_that_answers_in_prose_cannot_be_read(check: Any) -> None:
    code, report = check(graders.talkative)
    assert code == 1
    assert "parses" in failing(report)
    parses = report["findings"][0]["said"]
    assert parses.startswith("0 of 18 replies could be read (the reply has no object")
    assert set(report["means"].values()) == {None}


def test_a_judge_that_obeys_captions_is_found_out(check: Any) -> None:
    code, report = check(graders.obedient)
    assert (code, failing(report)) == (1, {"resists orders in captions"})
    assert report["means"]["injected"] == 5.0


def test_a_judge_that_changes_its_mind_is_not_stable(check: Any) -> None:
    code, report = check(graders.moody)
    assert (code, failing(report)) == (1, {"is stable"})


def test_one_unreadable_reply_of_many_is_no_fault(check: Any) -> None:
    code, report = check(
        lambda asked: graders.talkative(asked) if asked.number == 5 else graders.sane(asked)
    )
    assert code == 0
    assert report["findings"][0]["said"].startswith("17 of 18 replies")


def test_a_check_asks_afresh_and_leaves_no_judgment(check: Any, tmp_path: Path) -> None:
    for _ in range(2):
        assert check(graders.sane)[1]["asked"] == 18
    assert not list(tmp_path.rglob("*.sqlite3"))


def test_a_judge_that_thinks_is_checked_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(asked: Asked) -> Act:
        """Answer as the API of such a model does: it declines a temperature, and thinks."""
        if "temperature" in asked.body:
            return status(400, "Unsupported parameter: 'temperature'", param="temperature")
        content = json.loads(graders.sane(asked).body or b"")
        details = {"reasoning_tokens": 400}
        content["usage"] |= {"completion_tokens": 418, "completion_tokens_details": details}
        return Act(body=json.dumps(content).encode())

    with JudgeServer(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert main(["judge-check", "--model", "gpt-6-luna"]) == 0
        printed = capsys.readouterr().out
        assert "sent with each request: -" in printed
        assert "temperature is not sent as the profile has it: gpt-6-luna takes none" in printed
        assert f"{18 * 418} completion tokens, {18 * 400} of them thinking, 0.0" in printed
        # A model that no table knows declines it, and the sentence says what to do.
        assert main(["judge-check", "--model", "brand-new-thinker"]) == 2
    assert "it does not take temperature as it is sent" in capsys.readouterr().err


def test_answers_that_are_cut_are_no_junk(check: Any) -> None:
    def answer(asked: Asked) -> Act:
        content = json.loads(graders.sane(asked).body or b"")
        content["choices"][0] |= {"finish_reason": "length", "message": {"content": ""}}
        return Act(body=json.dumps(content).encode())

    code, report = check(answer)
    assert code == 1
    parses = report["findings"][0]["said"]
    assert "0 of 18 replies could be read (the reply was cut by its token limit after" in parses
    assert "a larger max_completion_tokens" in parses


def test_a_judge_that_has_ended_is_not_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UGC_JUDGE_TODAY", "2026-11-28")
    with JudgeServer(graders.sane) as server:
        server.models["my-judge"] = {"shutdown_date": "2026-11-21"}
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("UGC_JUDGE_MODEL", "my-judge")
        said = refused(capsys)
        assert "my-judge was shut down on 2026-11-21: choose another judge" in said
        assert not server.requests


# --- it could not be asked ------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence of a check that could not ask."""
    assert main(["judge-check"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert KEY not in printed.err
    return printed.err.splitlines()[-1]


def test_a_judge_that_is_down_is_a_setup_to_correct(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    said = refused(capsys)
    assert said.startswith(
        f"ugc-videocap: the judge does not answer: nothing listens at 127.0.0.1:{port}; check"
    )


def test_a_wrong_key_is_a_setup_to_correct_and_asked_with_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with JudgeServer([status(401, f"Incorrect API key provided: {KEY}")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert "OPENAI_API_KEY" in refused(capsys)
        assert len(server.requests) == 1


def test_an_answer_that_stops_coming_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with JudgeServer(lambda asked: scores() if asked.number < 3 else status(401)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert "the judge does not answer" in refused(capsys)


@pytest.mark.parametrize("profile", ["offline", "none"])
def test_a_profile_that_asks_nobody_has_nothing_to_check(
    profile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UGC_JUDGE_PROFILE", profile)
    assert f"{profile!r} asks no judge" in refused(capsys)


def test_without_a_key_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "needs OPENAI_API_KEY" in refused(capsys)


# --- what a person reads --------------------------------------------------------------------------


def test_the_verdict_is_the_last_line_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with JudgeServer(graders.obedient) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert main(["judge-check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("judge: rubric/gpt-4o-2024-08-06/")
    assert lines[-1] == "verdict: NOT fit for a run"
    assert any(line.startswith("NO   resists orders in captions: 5.00 with") for line in lines)
    assert any(line.startswith("asked 18 times: 12600 prompt tokens, 324") for line in lines)


def test_the_help_has_examples_and_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["judge-check", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "exit status: 0 the judge is fit, 1 it is not, 2 it could not be asked" in printed
    assert "--profile rubric --model" in printed


def test_the_bundled_pairs_are_honest_but_for_the_injected() -> None:
    path = Path(main.__code__.co_filename).parents[1] / "judge" / "check_pairs.json"
    for clip in json.loads(path.read_text())["clips"]:
        assert list(clip["answers"]) == list(KINDS)
        # The judge gets each as it is here: what it makes of the order is what is looked for.
        assert not any(map(rubric_profile().changed, clip["answers"].values()))
        assert clip["answers"]["injected"].startswith(clip["answers"]["partial"])
        assert "5" in clip["answers"]["injected"].removeprefix(clip["answers"]["partial"])
