"""The engine behind an address: what is sent where, what is tried again, and what is given up."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import inspect
import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests.support.asking import ask
from tests.support.fake_vllm import (
    GIANT,
    PICTURE,
    RESET,
    SOUND,
    FakeVllm,
    Script,
    completion,
    probed,
)
from tests.support.judge_server import Act, hang, junk, status, too_many
from ugc_models.engine.base import EngineRequest, VideoInput
from ugc_models.engine.family import ProcessorInputs
from ugc_models.engine.server import remote
from ugc_models.engine.server.client import RemoteError
from ugc_models.engine.server.remote import RemoteEngine

SECRET = "sk-not-to-be-seen-anywhere"


@contextmanager
def engine_at(server: FakeVllm, **more: Any) -> Iterator[RemoteEngine]:
    engine = RemoteEngine(server.url, **{"start_patience": 0.0, **more})
    try:
        yield engine
    finally:
        engine.close()


def question(index: int = 0, words: str | None = None, **more: Any) -> EngineRequest:
    content = [{"type": "text", "text": words or f"question {index}"}]
    messages = [{"role": "user", "content": content}]
    return EngineRequest(index, "", (), {"max_tokens": 8}, messages=messages, **more)


def clip_question(frames: int = 4, *, resized: bool = False) -> EngineRequest:
    content = [{"type": "video"}, {"type": "text", "text": "What is it?"}]
    pixels = np.zeros((frames, 56, 56, 3), np.uint8)
    messages = [{"role": "user", "content": content}]
    media = (VideoInput(pixels, 1.0),)
    options = ProcessorInputs(resize=resized).options(media)
    return EngineRequest(0, "", media, {}, processor=options, messages=messages)


def first(act: Act) -> Script:
    """Do it with the first request, answer the others."""
    return lambda number: act if number == 0 else None


def models(**card: object) -> Act:
    """Return the list of models with the card of one changed."""
    known = {"id": "tiny", "root": "/models/tiny-omni", "max_model_len": 8192}
    return Act(body=json.dumps({"data": [known | card]}).encode())


def nobody() -> str:
    """Return an address at which nobody listens."""
    with FakeVllm() as gone:
        return gone.url


def wait_for_words(words: str, caplog: pytest.LogCaptureFixture, timeout: float = 120.0) -> None:
    """Return when the log has them."""
    give_up = time.monotonic() + timeout
    while words not in caplog.text:
        assert time.monotonic() < give_up, caplog.text
        time.sleep(0.01)


class TestStart:
    def test_one_server_is_named_by_what_it_serves(self) -> None:
        with FakeVllm() as server, engine_at(server) as engine:
            assert engine.decoding() == "vllm serve 0.32.0 at 1 server, corrected positions"
            assert engine.identity() == (
                "tiny (root /models/tiny-omni, vllm 0.32.0, corrected positions)"
            )

    def test_a_server_without_the_correction_is_found_out(self) -> None:
        every_other = [number % 2 == 0 for number in range(256)] + [False] * 272
        with FakeVllm(probe=probed(every_other)) as server, engine_at(server) as engine:
            assert engine.decoding().endswith("native positions")

    def test_one_that_shows_no_tokens_is_not_vouched_for(self) -> None:
        with FakeVllm(probe=completion("")) as server, engine_at(server) as engine:
            assert engine.decoding().endswith("unverified positions")

    def test_the_model_is_found_by_the_checkpoint_it_was_started_from(self) -> None:
        with FakeVllm() as server, engine_at(server, model="/models/tiny-omni") as engine:
            assert engine.facts.model == "tiny"

    def test_a_name_there_goes_before_a_checkpoint_of_that_name(self) -> None:
        cards = {"data": [{"id": "tuned", "root": "plain"}, {"id": "plain", "root": "other"}]}
        pages = {"/v1/models": Act(body=json.dumps(cards).encode())}
        with FakeVllm(pages=pages) as server, engine_at(server, model="plain") as engine:
            assert engine.identity().startswith("plain (root other,")

    def test_one_with_no_room_for_the_small_clip_is_used_all_the_same(self) -> None:
        short = status(400, "This model's maximum context length is 500 tokens.")
        with FakeVllm(probe=short) as server, engine_at(server) as engine:
            assert engine.decoding().endswith("unverified positions")
            assert ask(engine, [question()])[0].text == "caption of question 0"

    def test_another_model_is_refused_with_what_is_there(self) -> None:
        with FakeVllm() as server, pytest.raises(RemoteError, match="serves 'tiny', not 'huge'"):
            RemoteEngine(server.url, "huge")

    def test_of_several_models_one_must_be_named(self) -> None:
        several = Act(body=b'{"data": [{"id": "one"}, {"id": "two"}]}')
        with (
            FakeVllm(pages={"/v1/models": several}) as server,
            pytest.raises(RemoteError, match="serves 'one', 'two': say which by model="),
        ):
            RemoteEngine(server.url)

    def test_silence_is_said_in_one_sentence(self) -> None:
        with pytest.raises(RemoteError, match=r"does not answer .*; start the server, or check"):
            RemoteEngine(nobody(), start_patience=0.0)

    @pytest.mark.parametrize("page", [Act(404, b"<html>"), Act(body=b"<html>welcome</html>")])
    def test_a_web_server_is_not_taken_for_one(self, page: Act) -> None:
        with (
            FakeVllm(pages={"/v1/models": page}) as server,
            pytest.raises(RemoteError, match="no OpenAI-compatible server is there"),
        ):
            RemoteEngine(server.url, start_patience=0.0)

    def test_it_waits_for_one_that_still_loads(self) -> None:
        with FakeVllm() as server:
            loaded = server.pages["/v1/models"]
            server.pages["/v1/models"] = status(503)

            def load() -> None:
                while len(server.headers) < 2:  # it was asked twice
                    time.sleep(0.005)
                server.pages["/v1/models"] = loaded

            threading.Thread(target=load, daemon=True).start()
            with engine_at(server, start_patience=60.0) as engine:
                assert engine.facts.model == "tiny"

    @pytest.mark.parametrize("version", [Act(404), Act(body=b'{"version": 1}')])
    def test_one_that_does_not_say_what_it_runs_is_used_all_the_same(self, version: Act) -> None:
        pages = {"/version": version, "/v1/models": models(root=1)}
        with FakeVllm(pages=pages) as server, engine_at(server) as engine:
            assert engine.identity() == (
                "tiny (root unknown, vllm of unknown version, corrected positions)"
            )

    def test_a_server_that_takes_no_frame_rate_is_told_how_to(self) -> None:
        words = "Per-request mm_processor_kwargs are disabled by default because they can change "
        refused = status(400, words + "... Start the server with --trust-request-mm-kwargs only")
        with (
            FakeVllm(probe=refused) as server,
            pytest.raises(RemoteError, match=r"start it with --trust-request-mm-kwargs$"),
        ):
            RemoteEngine(server.url)

    @pytest.mark.parametrize(
        ("said", "understood"), [(1, 1), (8192, 8192), (0, None), (True, None), ("8192", None)]
    )
    def test_a_length_is_a_whole_number_from_1_up(
        self, said: object, understood: int | None
    ) -> None:
        pages = {"/v1/models": models(max_model_len=said)}
        with FakeVllm(pages=pages) as server, engine_at(server) as engine:
            assert engine.facts.max_model_len == understood

    @pytest.mark.parametrize("code", [429, 500, 503])
    def test_one_that_does_not_tell_its_version_yet_is_not_there_yet(self, code: int) -> None:
        with (
            FakeVllm(pages={"/version": status(code)}) as server,
            pytest.raises(RemoteError, match=f"answers {code}.*; start the server"),
        ):
            RemoteEngine(server.url, start_patience=0.0)


class TestKey:
    def test_only_the_servers_own_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            monkeypatch.setenv(name, SECRET)
        with FakeVllm() as server, engine_at(server) as engine:
            ask(engine, [question()])
            assert len(server.headers) == 4
            assert [headers.get("Content-Type") for headers in server.headers] == [
                *(None, None),
                *("application/json", "application/json"),
            ]
            assert not any("Authorization" in headers for headers in server.headers)
            assert SECRET not in str(server.headers)
            # A few bytes could otherwise become gigabytes before they are counted.
            assert {headers["Accept-Encoding"] for headers in server.headers} == {"identity"}
        monkeypatch.setenv("VLLM_API_KEY", "for-the-servers")
        with FakeVllm() as server, engine_at(server) as engine:
            ask(engine, [question()])
            assert {h["Authorization"] for h in server.headers} == {"Bearer for-the-servers"}

    def test_a_wrong_one_is_said_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("VLLM_API_KEY", SECRET)
        caplog.set_level(logging.DEBUG)
        denied = Act(401, b'{"error": "Unauthorized"}')
        with (
            FakeVllm(pages={"/v1/models": denied}) as server,
            pytest.raises(RemoteError, match="set its key as VLLM_API_KEY") as raised,
        ):
            RemoteEngine(server.url)
        error: BaseException | None = raised.value
        while error is not None:
            assert SECRET not in repr(error)
            error = error.__cause__ or error.__context__
        assert SECRET not in caplog.text

    @pytest.mark.parametrize("code", [401, 403])
    def test_one_that_is_no_longer_taken_ends_the_run(self, code: int) -> None:
        with FakeVllm(lambda _: status(code, "Unauthorized")) as server:
            with (
                engine_at(server) as engine,
                pytest.raises(RemoteError, match=f"answers {code}: set its key as VLLM_API_KEY"),
            ):
                ask(engine, [question()])
            assert len(server.asked) == 1

    @pytest.mark.parametrize("code", [301, 302, 307, 308])
    def test_it_goes_nowhere_else(self, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLLM_API_KEY", SECRET)
        with FakeVllm() as other:
            moved = {"/v1/models": Act(code, headers={"Location": f"{other.url}/v1/models"})}
            with (
                FakeVllm(pages=moved) as server,
                pytest.raises(RemoteError, match=f"answers {code}"),
            ):
                RemoteEngine(server.url, start_patience=0.0)
            assert other.headers == []

    def test_a_server_that_repeats_it_is_not_quoted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLLM_API_KEY", SECRET)
        echo = status(400, f"your key {SECRET} is nice")
        with FakeVllm(lambda _: echo) as server, engine_at(server) as engine:
            [answer] = ask(engine, [question()])
            assert answer.error == "the server refused it: your key ... is nice"
            assert SECRET not in repr(engine) + repr(engine._client)

    @pytest.mark.parametrize("more", ["ü", "\r\nX-Admin: 1", "\x7f"])
    def test_one_that_no_header_can_carry_is_refused_unseen(
        self, monkeypatch: pytest.MonkeyPatch, more: str
    ) -> None:
        monkeypatch.setenv("VLLM_API_KEY", SECRET + more)
        with pytest.raises(RemoteError, match="no HTTP header can carry") as raised:
            RemoteEngine("http://127.0.0.1:1")
        assert SECRET not in repr(raised.value)


class TestTrouble:
    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(too_many(), id="too many requests"),
            pytest.param(status(500, "EngineDeadError"), id="internal error"),
            pytest.param(status(503), id="unavailable"),
            pytest.param(status(408), id="too slow"),
            pytest.param(status(409), id="in conflict"),
            pytest.param(Act(404, b'{"detail": "Not Found"}'), id="nothing behind the proxy"),
            pytest.param(junk(), id="junk"),
            pytest.param(
                Act(
                    body=gzip.compress(completion("x").body or b""),
                    headers={"Content-Encoding": "gzip"},
                ),
                id="compressed, which nobody asked for",
            ),
            pytest.param(Act(body=b'{"choices": []}'), id="another JSON"),
            pytest.param(Act(body=b"[" * 100_000), id="deep JSON"),
            pytest.param(Act(body=completion("x").body, cut=20), id="cut off"),
            pytest.param(RESET, id="reset"),
            pytest.param(GIANT, id="giant"),
            pytest.param(hang(), id="no answer"),
        ],
    )
    def test_that_may_pass_is_tried_again(self, act: Act) -> None:
        seconds = 3.0 if act.body is None else 120.0
        with FakeVllm(first(act)) as server, engine_at(server, timeout=seconds) as engine:
            [answer] = ask(engine, [question()])
            assert (answer.error, answer.text) == (None, "caption of question 0")
            assert server.asked == ["question 0"] * 2

    def test_is_none_of_an_answer_of_sixteen_mebibytes(self) -> None:
        answer = completion("x").body or b""
        large = Act(body=answer + b" " * ((16 << 20) - len(answer)))
        with FakeVllm(lambda _: large) as server, engine_at(server) as engine:
            assert ask(engine, [question()])[0].text == "x"

    def test_that_does_not_pass_ends_in_an_error_and_touches_no_other(self) -> None:
        with FakeVllm() as server, engine_at(server) as engine:
            broken = status(500, "division by zero")
            server.script = lambda n: broken if server.asked[n] == "question 1" else None
            answers = ask(engine, [question(i) for i in range(3)])
            assert [answer.error is None for answer in answers] == [True, False, True]
            assert answers[1].error is not None
            assert "answers 500 (division by zero); given up after 4 tries" in answers[1].error
            assert server.asked.count("question 1") == 4

    @pytest.mark.parametrize("code", [400, 413, 422])
    def test_of_the_requests_own_making_is_an_answer_at_once(self, code: int) -> None:
        with FakeVllm(lambda _: status(code, "No.")) as server, engine_at(server) as engine:
            [answer] = ask(engine, [question()])
            assert answer.error
            assert (answer.text, answer.overflow) == ("", False)
            assert len(server.asked) == 1

    def test_with_the_length_of_a_prompt_is_told_apart(self) -> None:
        words = "This model's maximum context length is 8192 tokens. However, your prompt ..."
        with FakeVllm(lambda _: status(400, words)) as server, engine_at(server) as engine:
            [answer] = ask(engine, [question()])
            assert answer.overflow
            assert answer.error is not None

    def test_with_a_request_that_cannot_be_sent_is_an_answer_too(self) -> None:
        with FakeVllm() as server, engine_at(server) as engine:
            [answer] = ask(engine, [question(7, "half a character: \ud800")])
            assert (answer.index, server.asked) == (7, [])
            assert answer.error is not None and "surrogates not allowed" in answer.error

    def test_frames_that_the_server_leaves_out_are_missed(self) -> None:
        kept = [PICTURE] * 8 + [SOUND] * 3
        with FakeVllm(lambda _: completion("x", kept)) as server, engine_at(server) as engine:
            [whole, odd, less] = ask(engine, [clip_question(n) for n in (4, 3, 6)])
            assert (whole.error, whole.text) == (odd.error, odd.text) == (None, "x")
            assert less.error is not None
            assert "made 8 tokens of the frames instead of 12" in less.error

    def test_so_are_frames_of_which_the_server_makes_more(self) -> None:
        kept = [PICTURE] * 9
        with FakeVllm(lambda _: completion("x", kept)) as server, engine_at(server) as engine:
            [answer] = ask(engine, [clip_question(4)])
            assert "made 9 tokens of the frames instead of 8" in (answer.error or "")

    def test_frames_that_the_processor_is_to_scale_are_not_counted(self) -> None:
        kept = [PICTURE] * 2
        with FakeVllm(lambda _: completion("x", kept)) as server, engine_at(server) as engine:
            assert ask(engine, [clip_question(4, resized=True)])[0].error is None


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which the server was left alone, by a clock that stands still meanwhile."""
    rests = list[float]()

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(remote, "_now", lambda: sum(rests))
    monkeypatch.setattr(asyncio, "sleep", rest)
    return rests


class TestRest:
    @pytest.mark.parametrize(
        "act", [too_many(), status(502), status(503), Act(404, b"<html>no such place</html>")]
    )
    def test_is_twice_as_long_each_time_and_short_again_after_an_answer(
        self, act: Act, rests: list[float]
    ) -> None:
        """However often a server is away or asks for rest, that loses nothing."""
        with FakeVllm(lambda n: act if n < 6 or n == 7 else None) as server:
            with engine_at(server) as engine:
                answers = ask(engine, [question(0)]) + ask(engine, [question(1)])
            assert [answer.text for answer in answers] == [
                *("caption of question 0", "caption of question 1"),
            ]
            assert len(server.asked) == 9
        assert rests == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 0.5]


class TestWhatIsSent:
    def test_is_sent_at_once_however_much_it_is(self) -> None:
        """The caller bounds it, and no number of connections."""
        with FakeVllm(lambda _: hang()) as server, engine_at(server) as engine:
            futures = [engine.submit(question(number)) for number in range(104)]
            server.wait_for(104)
            assert not any(future.done() for future in futures)

    def test_names_the_model_and_asks_for_no_more_than_it_takes(self) -> None:
        with FakeVllm() as server, engine_at(server, model="/models/tiny-omni") as engine:
            asked = question()
            ask(engine, [dataclasses.replace(asked, parameters={"max_tokens": 9000, "seed": 3})])
            [body] = server.bodies
            assert (body["model"], body["max_tokens"], body["seed"]) == ("tiny", 8192, 3)

    def test_waits_as_long_as_is_documented(self) -> None:
        """Ten minutes for an answer, five for a server's restart, half a one at the start."""
        of = inspect.signature(RemoteEngine).parameters
        assert [of[name].default for name in ("timeout", "patience", "start_patience")] == [
            *(600.0, 300.0, 30.0),
        ]


class TestAbsence:
    def test_is_ridden_out(self, caplog: pytest.LogCaptureFixture) -> None:
        with FakeVllm() as server:
            engine = RemoteEngine(server.url)
        futures = [engine.submit(question(i)) for i in range(5)]
        wait_for_words("is asked again after a rest", caplog)
        with FakeVllm(port=server.port) as back:
            answers = [future.result(60) for future in futures]
            assert [a.text for a in answers] == [f"caption of question {i}" for i in range(5)]
            assert back.probes == 1
        engine.close()

    def test_in_the_middle_of_answers_loses_none(self) -> None:
        with FakeVllm(lambda _: hang()) as server:
            engine = RemoteEngine(server.url)
            futures = [engine.submit(question(i)) for i in range(5)]
            server.wait_for(5)
        with FakeVllm(port=server.port):
            answers = [future.result(60) for future in futures]
            assert [a.text for a in answers] == [f"caption of question {i}" for i in range(5)]
        engine.close()

    def test_without_end_is_the_end_of_the_engine(self) -> None:
        with FakeVllm() as server:
            engine = RemoteEngine(server.url, patience=1.0)
        future = engine.submit(question())
        with pytest.raises(RemoteError, match=r"no server has answered for \d+ s"):
            future.result(60)
        engine.close()

    @pytest.mark.parametrize(
        ("back", "what"),
        [
            ({"version": "0.33.0"}, "'tiny' with vLLM 0.33.0, .* served 'tiny' with vLLM 0.32.0"),
            (
                {"pages": {"/v1/models": models(max_model_len=4096)}},
                "len 4096, .* max_model_len 8192",
            ),
            ({"probe": completion("")}, "unverified positions .* corrected positions"),
        ],
    )
    def test_from_which_another_model_comes_back_mixes_nothing(
        self, back: dict[str, Any], what: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with FakeVllm() as server:
            engine = RemoteEngine(server.url)
        future = engine.submit(question())
        wait_for_words("is asked again after a rest", caplog)
        with (
            FakeVllm(port=server.port, **back) as other,
            pytest.raises(RemoteError, match=f"serves .*{what}.*: the answers would not be"),
        ):
            future.result(60)
        assert other.asked == []
        engine.close()


class TestAClipThatEndsServers:
    def test_is_set_aside_and_the_others_are_completed(self) -> None:
        with FakeVllm() as server, engine_at(server) as engine:

            def crash_on_poison(number: int) -> Act:
                if server.asked[number] == "poison":
                    server.crash()
                    return RESET
                return Act(body=completion("fine").body, delay=0.3)

            server.script = crash_on_poison
            asked = [question(i, "poison" if i == 5 else None) for i in range(12)]
            answers = ask(engine, asked)
            assert [a.text for a in answers if a.index != 5] == ["fine"] * 11
            assert answers[5].error is not None
            assert "the connection broke" in answers[5].error
            assert server.asked.count("poison") == 4


class TestEnd:
    def test_what_is_in_flight_is_cancelled(self) -> None:
        with FakeVllm(lambda _: hang()) as server:
            engine = RemoteEngine(server.url)
            future = engine.submit(question())
            server.wait_for(1)
            engine.close()
            with pytest.raises(CancelledError):
                future.result(60)

    def test_closing_twice_is_closing_once(self) -> None:
        with FakeVllm() as server:
            engine = RemoteEngine(server.url)
            engine.close()
            engine.close()
            with pytest.raises(RemoteError, match="is closed"):
                engine.submit(question())

    def test_no_thread_is_left(self) -> None:
        with FakeVllm() as server, engine_at(server) as engine:
            before = set(threading.enumerate())
            ask(engine, [clip_question()])
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("ugc-"):
                thread.join(60)
                assert not thread.is_alive()
