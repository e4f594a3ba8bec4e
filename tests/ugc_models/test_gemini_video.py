"""``gemini_video`` over real HTTP with the real google-genai, against an API on loopback."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import write_clip
from tests.support.gemini_run import Asking
from tests.support.gemini_server import (
    KEY,
    MODEL,
    USD,
    Call,
    GeminiServer,
    answered,
    caption,
    error,
    quota,
    reply,
)
from tests.support.judge_server import Act
from tests.support.loopback import QuietHandler, loopback
from ugc_models.engine.base import EngineStopped

CLIPS = 6
refused = Act(body=json.dumps({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}).encode())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{i}.mp4", seconds=1, fps=5, seed=i) for i in range(CLIPS)]


@pytest.fixture(scope="module")
def docs(clips: list[Path]) -> list[dict[str, Any]]:
    return [
        {"video": str(clip), "question": f"Question {i}: what happens?"}
        for i, clip in enumerate(clips)
    ]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    with GeminiServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def start(server: GeminiServer, tmp_path: Path) -> Callable[..., Asking]:
    return lambda **more: Asking(**{"store": tmp_path / "captions.sqlite3", **more})


def right(doc: dict[str, Any]) -> str:
    """Return the answer that belongs to a document."""
    whole = Path(doc["video"]).read_bytes()
    return caption(doc["question"], hashlib.sha256(whole).hexdigest()[:8])


# ---- what reaches the model ----


def test_paper_uploads_whole_clips_and_asks_as_the_authors_did(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    answers = start(preset="paper")(docs)
    assert [str(answer) for answer in answers] == [right(doc) for doc in docs]
    held = {held.content for held in server.ever.values()}
    assert held == {Path(doc["video"]).read_bytes() for doc in docs}
    for call in server.of("generate"):
        assert list(call.parts[0]) == ["text"]
        assert call.parts[1]["fileData"]["mimeType"] == "video/mp4"
        # No limit and no temperature of ours: the authors' call has no config.
        assert not call.body.get("generationConfig")
    assert answers[0].generation["heard"] is True
    assert answers[0].generation["api"]["model_version"] == MODEL


def test_nothing_of_ours_stays_there(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]], tmp_path: Path
) -> None:
    server.foreign("files/somebody-elses")
    start(preset="paper")(docs)
    assert list(server.files) == ["files/somebody-elses"]
    assert not list((tmp_path / "gemini-uploads").iterdir())
    assert not server.of("list")


def test_by_default_small_clips_go_within_the_request(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    arguments = {"fps": 2, "media_resolution": "low", "thinking_budget": 0,
                 "safety_settings": "BLOCK_NONE", "seed": 7}  # fmt: skip
    answers = start(**arguments)(docs[:1])
    assert str(answers[0]) == right(docs[0])
    [call] = server.calls
    assert call.parts[0]["videoMetadata"] == {"fps": 2.0}
    assert call.body["generationConfig"] == {
        "temperature": 0.2,
        "seed": 7,
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"thinkingBudget": 0},
    }
    assert {each["threshold"] for each in call.body["safetySettings"]} == {"BLOCK_NONE"}
    assert len(call.body["safetySettings"]) == 4


def test_one_clip_is_uploaded_once_for_all_questions(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    asked = [{**docs[0], "question": f"Question {i}?"} for i in range(8)]
    answers = start(inline=False)(asked)
    assert [str(answer) for answer in answers] == [right(doc) for doc in asked]
    assert len(server.of("start")) == 1


def test_other_kinds_of_media_and_turns(
    server: GeminiServer, start: Callable[..., Asking], clips: list[Path]
) -> None:
    recording = {"array": np.zeros(1600, np.float32), "sampling_rate": 16_000}
    picture = Image.new("RGB", (40, 30), "red")

    def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
        stretch = {"type": "video", "url": str(clips[0]), "start_time": 0.2, "end_time": 0.8}
        content = [
            *(stretch, {"type": "audio", "url": recording}, {"type": "image", "url": picture}),
            {"type": "video", "url": [picture, picture]},
            {"type": "text", "text": "Well?"},
        ]
        return [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": content},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "And now?"},
        ]

    [answer] = start()([{}], messages)
    assert answer.generation["error"] is None
    [call] = server.calls
    assert call.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert [turn["role"] for turn in call.body["contents"]] == ["user", "model", "user"]
    kinds = [part["inlineData"]["mimeType"] for part in call.parts if "inlineData" in part]
    assert kinds == ["video/mp4", "audio/wav", "image/png", "image/png", "image/png"]
    assert call.parts[0]["videoMetadata"] == {"startOffset": "0.2s", "endOffset": "0.8s"}


# ---- nothing is lost, nothing is made twice ----


def test_a_rerun_asks_for_what_is_missing_alone(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    blocked = docs[2]["question"]
    server.script = lambda call: reply("", "SAFETY") if call.about == blocked else None
    first = start()(docs)
    assert first[2].generation["error"] == "blocked or cut by the provider: SAFETY"
    server.script = lambda _: None
    server.calls.clear()
    second = start()(docs)
    assert [call.about for call in server.of("generate")] == [blocked]
    assert [str(answer) for answer in second] == [right(doc) for doc in docs]
    assert [answer.generation["stored"] for answer in second] == [i != 2 for i in range(CLIPS)]
    server.calls.clear()
    start(thinking_budget=0)(docs[:1])  # another question to the API
    assert len(server.of("generate")) == 1


def test_a_fifth_of_all_requests_failing_loses_none(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    chance = random.Random(5)
    failures = [error(503), error(500), quota(daily=False), error(429)]

    def script(call: Call) -> Act | None:
        return chance.choice(failures) if chance.random() < 0.2 else None

    server.script = script
    asked = [{**doc, "question": f"{doc['question']} ({i})"} for doc in docs for i in range(5)]
    answers = start(inline=False)(asked)
    assert [str(answer) for answer in answers] == [right(doc) for doc in asked]
    assert not server.files


def test_a_cut_connection_and_an_upload_that_is_gone_are_tried_again(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    def script(call: Call) -> Act | None:
        if call.kind == "generate" and call.seen == 0:
            server.files.clear()  # expired, or deleted by somebody
        if call.kind == "upload" and call.number < 3:
            return Act(body=b'{"file": {}}', cut=5)
        return None

    server.script = script
    [answer] = start(inline=False)(docs[:1])
    assert str(answer) == right(docs[0])


def test_an_upload_is_polled_without_a_place_to_be_answered(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    """One file is made ready only when all others are answered; there is one place."""

    def script(call: Call) -> Act | None:
        first = Path(docs[0]["video"]).read_bytes()
        held = server.files.get(call.about)
        if call.kind == "get" and held is not None and held.content == first:
            held.looks = 1 if len(server.of("generate")) < CLIPS - 1 else -1
        return None

    server.script = script
    answers = start(inline=False, concurrency=3, upload_concurrency=2)(docs)
    assert [str(answer) for answer in answers] == [right(doc) for doc in docs]
    assert server.most_at_once["generate"] <= 3
    assert server.most_at_once["upload"] <= 2
    assert server.of("generate")[-1].about == docs[0]["question"]


def test_what_a_dead_run_uploaded_is_used_and_deleted(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A run whose deletions fail leaves its ledger, as one that was killed does."""
    none = quota(daily=True)
    server.script = lambda call: none if call.kind in {"delete", "generate"} else None
    with pytest.raises(EngineStopped, match="quota"):
        start(inline=False)(docs[:1])
    assert len(server.files) == 1
    assert len(list((tmp_path / "gemini-uploads").iterdir())) == 1
    server.script = lambda _: None
    [answer] = start(inline=False)(docs[:1])
    assert str(answer) == right(docs[0])
    assert len(server.of("start")) == 1
    assert not server.files


# ---- failures are failures ----


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (refused, "prompt PROHIBITED_CONTENT"),
        (reply("half a text", "RECITATION"), "RECITATION"),
        (reply(None, "MAX_TOKENS"), "the reply is empty: MAX_TOKENS"),
        (reply(" \n", "STOP"), "the reply is empty: STOP"),
        (reply("text", None), "no finishReason"),
        (reply("text", "A_NEW_REASON"), "A_NEW_REASON"),
        (error(400, "Unable to process\x1b[2J input"), r"answers 400 (Unable to process\x1b[2J"),
    ],
)
def test_no_answer_is_a_failure_with_the_reason_and_never_text(
    server: GeminiServer,
    start: Callable[..., Asking],
    docs: list[dict[str, Any]],
    act: Act,
    reason: str,
) -> None:
    server.script = lambda call: act if call.about == docs[0]["question"] else None
    bad, good = start()(docs[:2])
    assert str(bad) == ""
    assert reason in bad.generation["error"]
    assert str(good) == right(docs[1])


def test_a_file_that_cannot_be_processed_fails_its_clip_alone(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]], tmp_path: Path
) -> None:
    broken = Path(docs[0]["video"]).read_bytes()

    def script(call: Call) -> Act | None:
        if call.kind == "get" and server.files[call.about].content == broken:
            server.files[call.about].state = "FAILED"
        return None

    server.script = script
    missing = {"video": str(tmp_path / "missing.mp4"), "question": "Where?"}
    answers = start(preset="paper")([*docs[:2], missing])
    assert "its state is FAILED (the video has no\\x1b[2J frames)" in answers[0].generation["error"]
    assert str(answers[1]) == right(docs[1])
    assert answers[2].generation["error"] == "the video cannot be read: the file does not exist"
    assert not server.files


def test_an_answer_cut_at_the_limit_is_flagged(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    server.script = lambda _: reply("A caption that ends in", "MAX_TOKENS")
    [answer] = start(max_output_tokens=20)(docs[:1])
    assert str(answer) == "A caption that ends in"
    assert answer.generation["flags"] == ("token_limit",)


def test_where_the_api_does_not_tell_nobody_knows_whether_sound_was_heard(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    untold = answered("A caption.", usageMetadata={"promptTokenCount": 9})
    silent = answered(
        "A caption.",
        usageMetadata={
            "promptTokenCount": 9,
            "promptTokensDetails": [{"modality": "VIDEO", "tokenCount": 9}],
        },
    )
    which = {docs[0]["question"]: untold, docs[1]["question"]: silent}
    server.script = lambda call: Act(body=json.dumps(which[call.about]).encode())
    one, other = start()(docs[:2])
    assert one.generation["heard"] is None
    assert other.generation["heard"] is False
    assert other.generation["sound_missing"] == "no tokens of sound counted"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (quota(daily=True), "today's quota is used up"),
        (error(400, "API key not valid. Please pass a valid API key."), "refuses the key"),
        (error(404, "models/x is not found"), "is not found"),
        (quota(daily=False, delay="9000s"), "asks for a rest of 9000 s"),
    ],
)
def test_what_concerns_all_ends_the_run_and_keeps_what_is_done(
    server: GeminiServer,
    start: Callable[..., Asking],
    docs: list[dict[str, Any]],
    act: Act,
    words: str,
) -> None:
    server.script = lambda call: act if len(server.of("generate")) > 2 else None
    with pytest.raises(EngineStopped, match=words) as caught:
        start(concurrency=1)(docs)
    assert str(caught.value).endswith("run the same command again to go on")
    assert KEY not in str(caught.value)
    server.script = lambda _: None
    server.calls.clear()
    answers = start()(docs)
    assert [str(answer) for answer in answers] == [right(doc) for doc in docs]
    assert len(server.of("generate")) == CLIPS - 2


def test_what_is_in_flight_when_the_run_ends_is_kept(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    there = threading.Barrier(2)

    def script(call: Call) -> Act | None:
        if call.kind == "generate":
            there.wait(60)
            if call.about == docs[0]["question"]:
                return error(401, "no")
            time.sleep(0.3)
        return None

    server.script = script
    with pytest.raises(EngineStopped):
        start(concurrency=2)(docs[:2])
    server.script = lambda _: None
    answers = start()(docs[:2])
    assert [answer.generation["stored"] for answer in answers] == [False, True]


# ---- hostile and careless servers ----


@pytest.mark.parametrize(
    "act",
    [
        Act(body=b"\x00\xff<html>bad gateway</html>"),
        Act(body=b"[" * 100_000),
        Act(body=json.dumps(answered("x" * (17 << 20))).encode()),
        Act(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}),
        Act(body=json.dumps({"candidates": 3}).encode()),
        Act(503, json.dumps({"error": {"message": {"x": 1}, "details": 7}}).encode()),
    ],
)
def test_a_reply_that_is_none_is_tried_again(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]], act: Act
) -> None:
    server.script = lambda call: act if call.seen == 0 else None
    [answer] = start()(docs[:1])
    assert str(answer) == right(docs[0])


@pytest.mark.parametrize("kind", ["generate", "start", "upload"])
def test_the_key_follows_no_redirect(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]], kind: str
) -> None:
    came: list[str] = []

    class Elsewhere(QuietHandler):
        def do_POST(self) -> None:
            came.append(str(self.headers))
            self.send(200, b"{}")

    with loopback(Elsewhere) as url:
        there = Act(307, b"", {"Location": f"{url}/v1/models/x:generateContent"})
        server.script = lambda call: there if call.kind == kind else None
        with pytest.raises(EngineStopped, match="redirects"):
            start(inline=False)(docs[:1])
    assert not came


def test_an_upload_address_elsewhere_gets_no_key(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    came: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(str(self.headers))
            self.send_response(400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with loopback(Elsewhere) as url:
        away = Act(body=b"{}", headers={"X-Goog-Upload-URL": f"{url}/x"})
        server.script = lambda call: away if call.kind == "start" else None
        [answer] = start(inline=False)(docs[:1])
    assert answer.generation["error"]
    assert came
    assert KEY not in "".join(came)


def test_a_server_that_hangs_is_given_up(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    server.script = lambda call: Act(body=None) if call.about == docs[0]["question"] else None
    bad, good = start(timeout=1)(docs[:2])
    assert bad.generation["error"] == "the request: no answer in time; given up after several tries"
    assert str(good) == right(docs[1])


def test_the_key_is_nowhere(
    server: GeminiServer,
    start: Callable[..., Asking],
    docs: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.script = lambda call: error(400, f"bad {KEY}") if call.seen == 0 else None
    asking = start(preset="paper")
    answers = asking(docs)
    said = capsys.readouterr()
    facts = json.dumps([answer.generation for answer in answers], default=str)
    everything = said.out + said.err + facts + repr(asking.model) + repr(asking.model.__dict__)
    assert KEY not in everything
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()
    assert all(KEY not in call.path for call in server.calls)


# ---- what it costs ----


def test_the_results_say_what_it_cost_and_who_answered(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    asking = start()
    answers = asking(docs)
    assert answers[0].generation["api"]["usd"] == pytest.approx(USD)
    facts = asking.model.evaluation_facts()["gemini_video"]
    assert facts["usd"] == pytest.approx(CLIPS * USD, abs=1e-6)
    assert facts["thought_tokens"] == CLIPS * 100
    assert facts["versions"] == {MODEL: CLIPS}
    assert facts["google-genai"]
    again = start()
    again(docs)
    assert again.model.evaluation_facts()["gemini_video"]["usd"] == 0


def test_a_budget_is_never_passed_with_requests_in_flight(
    server: GeminiServer, start: Callable[..., Asking], docs: list[dict[str, Any]]
) -> None:
    server.script = lambda call: reply(call.about) if call.kind == "generate" else None
    asked = [{**docs[0], "question": f"Question {i}?"} for i in range(30)]
    limit = 300  # tokens of an answer
    asking = start(budget=12 * USD, max_output_tokens=limit, model=MODEL)
    with pytest.raises(EngineStopped, match=r"the budget of \$0.015024 is reached"):
        asking(asked)
    spent = asking.model.evaluation_facts()["gemini_video"]["usd"]
    assert 5 * USD <= spent <= 12 * USD
    assert spent == pytest.approx(len(server.of("generate")) * USD, abs=1e-6)


def test_a_budget_needs_a_price(start: Callable[..., Asking]) -> None:
    with pytest.raises(ValueError, match=r"budget=1: what gemini-next costs is not known here"):
        start(budget=1, model="gemini-next")


def test_without_a_key_it_says_what_to_set(
    start: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY")
    with pytest.raises(ValueError, match=r"Set GOOGLE_API_KEY \(or GEMINI_API_KEY\)"):
        start()


def test_vertex_takes_clips_within_the_request(
    server: GeminiServer,
    start: Callable[..., Asking],
    docs: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", server.url)
    large = tmp_path / "large.mp4"
    large.write_bytes(b"\0" * 14_000_001)
    answers = start(preset="paper")([docs[0], {"video": str(large), "question": "Large?"}])
    assert str(answers[0]) == right(docs[0])
    assert "Vertex has no uploads, and takes 14 MB" in answers[1].generation["error"]
    assert {call.kind for call in server.calls} == {"generate"}
