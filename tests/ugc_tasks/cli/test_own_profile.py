"""A profile of one's own goes through everything: score, show, compare, report, submit, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
from lmms_eval.utils import make_table

from tests.support.judge_server import Act, Asked, JudgeServer, scores, text
from tests.ugc_tasks.conftest import LoadTask, MakeHome
from tests.ugc_tasks.submit.conftest import edit_rows
from ugc_tasks.cli.main import main
from ugc_tasks.data.questions import read_questions
from ugc_tasks.lmms.saved import facts_of, tidy
from ugc_tasks.register import TASK_DIR
from ugc_tasks.run import current_run

PROFILE = """
name = "story"
model = "my-judge"
prompt = "story.txt"
user = '''
Reference: {reference}
Caption: {prediction}'''

[values]
plot = { from = 0, to = 10 }
sound = "grade"
"""


def graded(asked: Asked) -> Act:
    """Give the third clip no plot at all, and later judgments of the others a point less."""
    plot = 0 if "Reference 2" in asked.user else 8 - asked.seen
    return text(json.dumps({"plot": plot, "sound": 4, "why": "so"}))


@pytest.fixture
def profile(
    make_home: MakeHome, judge_server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    make_home(3)
    judge_server.script = graded
    (tmp_path / "story.toml").write_text(PROFILE)
    (tmp_path / "story.txt").write_text("How good is the story?")
    captions = [{"video_id": f"PI-00{i}", "answer": f"Caption {i}."} for i in range(3)]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, captions)))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "story.toml"


@pytest.fixture
def scored(profile: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    found = score(capsys, "--profile", "story.toml")
    (profile.parent / "model.json").write_text(json.dumps(found))
    return profile.parent / "model.json"


def score(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["score", "caption", "captions.jsonl", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_its_figures_have_its_names_on_0_to_100(scored: Path) -> None:
    found = json.loads(scored.read_text())
    assert found["metrics"] == pytest.approx({"plot": 160 / 3, "sound": 80, "average": 200 / 3})
    assert set(found["ci95"]) == {"plot", "sound", "average"}
    third = found["items"][2]
    assert (third["plot"], third["sound"], third["average"]) == (0, 80, 40)
    assert "visual" not in third
    assert "overall" not in third
    assert third["judge"]["judgments"][0]["scores"] == {"plot": 0, "sound": 4}
    assert found["judge"]["profile"] == "story"
    assert found["judge"]["parameters"] == {}
    assert found["judge"]["label"].startswith("story/my-judge/")


def test_a_rerun_asks_nothing_and_repeats_ask_for_the_rest(
    scored: Path, judge_server: JudgeServer, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert score(capsys, "--profile", "story.toml")["spent"]["new"]["judgments"] == 0
    monkeypatch.setenv("UGC_JUDGE_REPEATS", "2")
    noise = score(capsys, "--profile", "./story.toml")["noise"]["values"]
    assert len(judge_server.requests) == 6
    assert noise["plot"]["within_one"] == 1.0
    assert noise["plot"]["judge_variance"] == pytest.approx(100 / 3)
    assert noise["sound"]["judge_variance"] == 0


def test_a_judgment_off_its_scale_is_a_failure(
    profile: Path, judge_server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_server.script = lambda _: text('{"plot": 11, "sound": 4}')
    assert main(["score", "caption", "captions.jsonl", "--profile", "story.toml"]) == 3
    assert "plot is not a whole number from 0 to 10" in capsys.readouterr().err


def test_it_is_shown_compared_and_reported(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(scored)]) == 0
    capsys.readouterr()
    other = scored.with_name("other.json")
    changed = json.loads(scored.read_text())
    for row in changed["items"]:
        row["plot"], row["average"] = row["plot"] / 2, (row["plot"] / 2 + row["sound"]) / 2
    other.write_text(json.dumps(changed))
    assert main(["compare", str(scored), str(other)]) == 0
    said = capsys.readouterr().out
    assert "plot" in said
    assert "visual" not in said
    assert main(["report", str(scored), str(other), "--no-posters", "-o", "r.html"]) == 0
    page = Path("r.html").read_text()
    assert "plot" in page
    assert "failures stored as scores" not in page
    capsys.readouterr()
    assert main(["summarize", str(scored), "--baseline", str(other)]) == 0
    head, figures, difference = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "n", "coverage", "plot", "sound", "average", "judge"]
    assert " 53.33 " in figures
    assert "+26.67" in difference


def test_figures_of_other_names_are_in_another_table(
    scored: Path, judge_server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_server.script = lambda _: scores()
    Path("ours.json").write_text(json.dumps(score(capsys, "--profile", "rubric")))
    for command in (["ours.json", str(scored)], ["ours.json", "--baseline", str(scored)]):
        assert main(["summarize", *command]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[-1].startswith(
            "ugc-videocap: the figures of ours.json are visual, audio, details, average, those of "
        )


def test_it_is_handed_in_as_not_of_the_benchmark(
    scored: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = read_questions(scored.with_name("home") / "final_caption_qa.json").sha256
    monkeypatch.setattr("ugc_tasks.submit.bundle.published_questions", lambda _: published)
    assert main(["submit", str(scored), "-o", "all/b", "--name", "me/it"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["model", "plot", "sound", "average", "clips", "judge"]
    assert "story/my-judge@127.0.0.1:" in row
    bundle = json.loads(Path("all/b/bundle.json").read_text())["tasks"]["ugc_videocap"]
    assert not bundle["of_benchmark"]
    assert set(bundle["figures"]) == {"plot", "sound", "average"}
    capsys.readouterr()
    assert main(["verify", "all/b"]) == 3, "what the judge was asked cannot be made again"
    assert "the judge profile story is not ours" in "".join(capsys.readouterr())
    assert main(["leaderboard", "all", "-o", "l.html"]) == 0
    assert "plot" in Path("l.html").read_text()
    capsys.readouterr()
    better = {"plot": 50.0, "average": 65.0, "score": 0.65}
    edit_rows(Path("all/b"), "ugc_videocap", lambda rows: rows[2].update(better))
    assert main(["verify", "all/b"]) == 1
    assert "the figures are not those of the judge's replies" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["ugc_videocap", "ugc_videocap_full"])
def test_lmms_eval_s_own_table_has_its_figures(
    profile: Path,
    make_full_home: MakeHome,
    monkeypatch: pytest.MonkeyPatch,
    judge_server: JudgeServer,
    name: str,
) -> None:
    if name != "ugc_videocap":
        make_full_home(3, videos=False)
        with profile.open("a") as file:
            for question in ("background", "objects"):
                file.write(f'[questions.{question}]\nvalues.fits = "yes_no"\n')
        judge_server.script = lambda _: text('{"plot": 8, "sound": 4, "fits": true}')
    monkeypatch.setenv("UGC_JUDGE_PROFILE", str(profile))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", profile.parent / "datasets")
    results = simple_evaluate(
        model="ugc_replay",
        model_args="answers=captions.jsonl",
        tasks=[name],
        task_manager=TaskManager(include_path=TASK_DIR, include_defaults=False),
    )
    tidy(results, facts_of(results, results["samples"]))
    row = results["results"]["ugc_videocap"]
    assert row["sound,none"] == 80
    assert {"plot,none", "average,none", "plot_stderr_clt,none"} <= row.keys()
    assert not [key for key in row if key.startswith(("visual", "overall"))]
    assert "|plot" in make_table(results).replace(" ", "")


def test_lmms_eval_s_rows_have_its_figures(
    profile: Path, load_task: LoadTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_JUDGE_PROFILE", str(profile))
    task = load_task("ugc_videocap")
    document = task.eval_docs[0]
    row = task.process_results(document, ["Caption 0."])
    assert (row["plot"], row["sound"], row["average"]) == (80, 80, 80)
    assert "visual" not in row
    assert current_run("caption").judging["profile"] == "story"


def test_judge_check_takes_it(
    profile: Path, judge_server: JudgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_server.script = lambda _: text('{"plot": 10, "sound": 5}')
    assert main(["judge-check", "--profile", "story.toml", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert set(found["means"].values()) == {5.0}
    assert found["judge"]["label"].startswith("story/")


def test_a_batch_takes_it(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.support.batch_server import BatchServer

    with BatchServer(graded) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        patch.setenv("UGC_JUDGE_MODE", "batch")
        found = score(capsys, "--profile", "story.toml")
    assert found["metrics"]["sound"] == 80
    assert found["judge"]["mode"] == "batch"


@pytest.mark.parametrize("command", [["score", "caption", "captions.jsonl"], ["judge-check"]])
def test_a_name_that_is_no_profile_and_a_file_that_is_none_are_one_sentence(
    profile: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "--profile", "nowhere.toml"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "UGC_JUDGE_PROFILE: the profile nowhere.toml cannot be used" in said
    with pytest.raises(SystemExit) as caught:
        main([*command, "--profile", "papier"])
    assert caught.value.code == 2
    assert "'papier' is not one of paper, rubric" in capsys.readouterr().err


def test_what_a_model_declines_is_verified_as_not_sent(
    profile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    judge_server: JudgeServer,
) -> None:  # fmt: skip
    published = read_questions(profile.with_name("home") / "final_caption_qa.json").sha256
    monkeypatch.setattr("ugc_tasks.submit.bundle.published_questions", lambda _: published)
    monkeypatch.setenv("UGC_JUDGE_MODEL", "gpt-6-luna")
    judge_server.script = lambda _: scores()
    found = score(capsys, "--profile", "rubric")
    assert "temperature" not in judge_server.requests[0].body
    assert found["judge"]["parameters"] == {}
    assert list(found["judge"]["not_sent"]) == ["temperature"]
    Path("thinks.json").write_text(json.dumps(found))
    assert main(["submit", "thinks.json", "-o", "thinks"]) == 0
    assert main(["verify", "thinks"]) == 0
    assert main(["export", "thinks", "--format", "markdown"]) == 0


def test_a_dry_run_says_what_will_be(
    profile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    for today, said in (  # a day that no other test has: it is said once a process
        ("2026-12-24", "gpt-4o-2024-08-06 is shut down on 2027-01-14 (in 21 days); OpenAI names"),
        ("2027-02-01", "gpt-4o-2024-08-06 was shut down on 2027-01-14: choose another judge"),
    ):
        monkeypatch.setenv("UGC_JUDGE_TODAY", today)
        assert main(["score", "caption", "captions.jsonl", "--profile", "rubric", "--dry-run"]) == 0
        assert said in capsys.readouterr().err
