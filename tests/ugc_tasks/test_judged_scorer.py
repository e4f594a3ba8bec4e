"""Saved captions, judged over a real socket or estimated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import Asked, JudgeServer, scores, text
from ugc_tasks.data.home import Home
from ugc_tasks.judge.offline import interval
from ugc_tasks.judge.settings import JudgeConfigError
from ugc_tasks.judged_scorer import score
from ugc_tasks.saved.answers import SavedAnswer, SavedAnswers
from ugc_tasks.scoring import Report, Request

CAPTIONS = {
    "PI-000": SavedAnswer("A man sings."),
    "PI-001": SavedAnswer("A dog barks."),
    "PI-002": SavedAnswer("", error="blocked"),
}


def scored(answers: dict[str, SavedAnswer], task: str = "caption") -> Report:
    return score(
        Request(task, SavedAnswers(Path("saved.jsonl"), answers), Home.from_env(os.environ),
                os.environ)
    )  # fmt: skip


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch, make_home: Any) -> Any:
    """A judge on loopback and a home of four clips."""
    make_home(4)
    with JudgeServer() as server:
        monkeypatch.setenv("UGC_JUDGE_PROFILE", "rubric")
        monkeypatch.setenv("UGC_JUDGE_ATTEMPTS", "1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield server


def test_captions_are_judged_and_their_means_are_on_the_published_scale(paid: JudgeServer) -> None:
    def script(asked: Asked) -> Any:
        grade = 5 if "sings" in asked.user else 3
        return text(f'{{"visual": {grade}, "audio": {grade - 1}, "details": {grade}}}')

    paid.script = script
    report = scored({**CAPTIONS, "PI-999": SavedAnswer("No such clip.")})
    assert report.metrics == pytest.approx(
        {"visual": 80.0, "audio": 60.0, "details": 80.0, "average": 220 / 3}
    )
    assert (report.n, report.failed) == (2, 1)
    assert (report.missing, report.unknown) == (("PI-003",), ("PI-999",))
    assert report.facts["coverage"] == 0.5
    assert report.facts["judge"]["profile"] == "rubric"
    assert not report.complete
    assert [item["caption_failed"] for item in report.items] == ["", "", "blocked"]
    assert len(paid.requests) == 2, "nothing is paid for what has no reference or no caption"


def test_a_judgment_that_failed_is_no_zero(paid: JudgeServer) -> None:
    paid.script = lambda asked: text("Sorry.") if "dog" in asked.user else scores(4, 4, 4)
    report = scored(CAPTIONS)
    assert (report.n, report.failed, report.metrics["average"]) == (1, 2, 80.0)
    failed = next(item for item in report.items if item["video_id"] == "PI-001")
    assert failed["judge_failed"]


@pytest.mark.parametrize("value", [None, "", " \n", ["a list"], {"caption": "a"}])
def test_what_is_no_caption_is_the_models_failure(paid: JudgeServer, value: Any) -> None:
    report = scored({"PI-000": SavedAnswer(value)})
    assert (report.n, report.failed) == (0, 1)
    assert report.metrics == {"visual": None, "audio": None, "details": None, "average": None}
    assert report.items[0]["caption_failed"]
    assert paid.requests == []


def test_the_free_estimate_is_called_one(make_home: Any) -> None:
    make_home(2)
    report = scored({i: CAPTIONS[i] for i in ("PI-000", "PI-001")})
    assert report.estimate
    assert set(report.metrics) == {
        "visual_estimate", "audio_estimate", "details_estimate", "average_estimate"
    }  # fmt: skip
    assert report.complete


def test_an_estimate_has_the_interval_of_its_errors_and_not_of_its_clips(make_home: Any) -> None:
    make_home(2)
    report = scored({i: CAPTIONS[i] for i in ("PI-000", "PI-001")})
    for name, mean in report.metrics.items():
        assert mean is not None
        assert report.ci95[name] == interval(name.removesuffix("_estimate"), mean, 2)
    assert any("unlike those that the estimate was fitted on" in note for note in report.notes)


def test_a_profile_that_judges_nothing_scores_nothing(
    make_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(2)
    monkeypatch.setenv("UGC_JUDGE_PROFILE", "none")
    with pytest.raises(JudgeConfigError, match="'none' scores nothing"):
        scored(CAPTIONS)


def test_captions_of_one_modality_have_its_dimension_alone(paid: JudgeServer) -> None:
    home = Path(os.environ["UGC_VIDEOCAP_HOME"])
    (home / "final_caption_qa.json").rename(home / "audio_caption_qa.json")
    paid.script = lambda _: text('{"visual": 1, "audio": 4, "details": 1}')
    report = scored({"PI-000": CAPTIONS["PI-000"]}, task="audio_caption")
    assert report.metrics == {"audio": 80.0}
    assert any("the authors published no score" in note for note in report.notes)
