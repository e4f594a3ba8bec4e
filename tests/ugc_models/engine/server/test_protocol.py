"""What goes over the wire to ``vllm serve``, and how its answers are read."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_models.engine.base import (
    AudioInput,
    EngineOutput,
    EngineRequest,
    FramesInput,
    ImageInput,
    VideoInput,
)
from ugc_models.engine.family import ProcessorInputs
from ugc_models.engine.server.packing import pack, png, wav
from ugc_models.engine.server.protocol import (
    NEUTRAL,
    chat_body,
    message,
    read_reply,
    refusal,
)

CONVERSATION = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {
        "role": "user",
        "content": [
            {"type": "video", "video": "/data/private/clip.mp4"},
            {"type": "text", "text": "Was ist zu hören?"},
        ],
    },
]
TEXT_ONLY = [{"role": "user", "content": "Hello?"}]
FRAMES = np.arange(3 * 28 * 28 * 3, dtype=np.uint8).reshape(3, 28, 28, 3)
SOUND = np.linspace(-1, 1, 4000, dtype=np.float32)


def clip_request(sound: Any = SOUND) -> EngineRequest:
    media = (VideoInput(FRAMES, 0.7, sound),)
    options = ProcessorInputs().options(media)
    return EngineRequest(3, "", media, {}, options, CONVERSATION)


def sent(request: EngineRequest, **more: Any) -> dict[str, Any]:
    return dict(json.loads(chat_body(request, "tiny", **more)))


class TestBody:
    def test_puts_the_clip_where_the_messages_have_it(self) -> None:
        system, user = sent(clip_request())["messages"]
        assert system == CONVERSATION[0]
        assert [part["type"] for part in user["content"]] == ["video_url", "text"]
        assert user["content"][1] == CONVERSATION[1]["content"][1]

    def test_carries_the_clip_itself_and_no_path(self) -> None:
        body = sent(clip_request())
        url = body["messages"][1]["content"][0]["video_url"]["url"]
        head, _, data = url.partition(",")
        assert head == "data:video/quicktime;base64"
        assert base64.b64decode(data) == pack(FRAMES, SOUND)
        assert "private" not in json.dumps(body)

    def test_tells_the_processor_the_true_rate_and_the_loader_to_keep_all(self) -> None:
        body = sent(clip_request())
        assert body["mm_processor_kwargs"] == clip_request().processor
        every_frame = {"video_backend": "opencv", "num_frames": -1, "fps": -1}
        assert body["media_io_kwargs"] == {"video": every_frame}

    def test_sends_frames_as_images_to_a_model_that_takes_no_videos(self) -> None:
        media = (FramesInput(FRAMES, 0.7), AudioInput(SOUND))
        asked = [{"role": "user", "content": [{"type": "video"}, {"type": "audio"}]}]
        body = sent(EngineRequest(3, "", media, {}, {}, asked))
        parts = body["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["image_url"] * 3 + ["input_audio"]
        assert "mm_processor_kwargs" not in body

    def test_keeps_the_prefix_of_one_sound_from_that_of_another(self) -> None:
        one, other = sent(clip_request()), sent(clip_request(sound=SOUND[::-1].copy()))
        assert one["cache_salt"] == sent(clip_request())["cache_salt"] != other["cache_salt"]
        assert "cache_salt" not in sent(clip_request(sound=None))

    def test_has_each_medium_where_its_mark_is(self) -> None:
        picture, samples = np.zeros((2, 3, 3), np.uint8), np.zeros(160, np.float32)
        media = (AudioInput(samples), VideoInput(FRAMES, 1.0), ImageInput(picture))
        parts = [{"type": kind} for kind in ("audio", "video")]
        messages = [
            {"role": "user", "content": [*parts, {"type": "text", "text": "and"}]},
            {"role": "user", "content": [{"type": "image"}]},
        ]
        first, second = sent(EngineRequest(0, "", media, {}, {}, messages))["messages"]
        assert [part["type"] for part in first["content"]] == ["input_audio", "video_url", "text"]
        heard = first["content"][0]["input_audio"]
        assert heard == {"data": base64.b64encode(wav(samples)).decode(), "format": "wav"}
        url = second["content"][0]["image_url"]["url"]
        assert url == f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"

    def test_keeps_the_prefix_of_two_sounds_from_that_of_others(self) -> None:
        a, b = SOUND, SOUND[:2_000]

        def salt(*sounds: Any) -> str | None:
            media = tuple(VideoInput(FRAMES, 0.7, sound) for sound in sounds)
            return EngineRequest(0, "", media, {}).cache_salt

        salts = [salt(*s) for s in ((a,), (b,), (a, b), (b, a), (a[:3_000], a[3_000:]), (a, a))]
        assert len(set(salts)) == len(salts)
        assert salt(None) is None

    def test_of_a_text_has_nothing_of_media(self) -> None:
        body = sent(EngineRequest(0, "", (), {}, messages=TEXT_ONLY))
        assert body["messages"] == TEXT_ONLY
        assert not {"mm_processor_kwargs", "media_io_kwargs", "cache_salt"} & set(body)

    def test_leaves_no_sampling_to_the_checkpoint(self) -> None:
        """What its own ``generation_config.json`` says, a server would take for what is left out.

        The values are those that do nothing in vLLM.
        """
        body = sent(EngineRequest(0, "", (), {}, messages=TEXT_ONLY))
        assert body == {
            **{"model": "tiny", "messages": TEXT_ONLY, "return_token_ids": True},
            **{"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0},
            **{"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
        }

    def test_has_the_requests_sampling_over_that(self) -> None:
        asked = {"temperature": 0.2, "top_k": 5, "seed": 42, "stop": ["\n"], "max_tokens": 7}
        body = sent(EngineRequest(0, "", (), asked, messages=TEXT_ONLY))
        assert (NEUTRAL | asked).items() <= body.items()

    def test_asks_for_no_more_tokens_than_the_server_allows_to_ask_for(self) -> None:
        request = EngineRequest(0, "", (), {"max_tokens": 9000}, messages=TEXT_ONLY)
        assert sent(request, max_model_len=8192)["max_tokens"] == 8192
        assert sent(request)["max_tokens"] == 9000
        nothing = EngineRequest(0, "", (), {"seed": None}, messages=TEXT_ONLY)
        assert {"max_tokens", "seed"}.isdisjoint(sent(nothing, max_model_len=8192))

    @pytest.mark.parametrize(
        ("request_", "words"),
        [
            (
                EngineRequest(0, "", (), {"top_p": float("nan")}, messages=TEXT_ONLY),
                "not JSON compliant",
            ),
            (
                EngineRequest(0, "", (), {}, messages=[{"role": "user", "content": "\ud800"}]),
                "surrogates not allowed",
            ),
        ],
    )
    def test_of_what_cannot_be_sent_is_refused_in_a_sentence(
        self, request_: EngineRequest, words: str
    ) -> None:
        with pytest.raises(ValueError, match=words):
            chat_body(request_, "tiny")


class TestReply:
    def test_is_taken_apart(self) -> None:
        output, prompt_ids = read_reply(
            5,
            json.dumps(
                {
                    "prompt_token_ids": [1, 2, 3],
                    "choices": [
                        {
                            "message": {"role": "assistant", "content": " A cat."},
                            "finish_reason": "length",
                            "token_ids": [8, 9],
                        }
                    ],
                    "usage": {"prompt_tokens": 3},
                }
            ).encode(),
        )
        expected = EngineOutput(5, " A cat.", None, False, "length", 3, (8, 9))
        assert (output, prompt_ids) == (expected, (1, 2, 3))

    def test_without_vllms_own_fields_is_read_as_well(self) -> None:
        bare = b'{"choices": [{"message": {"content": null}}]}'
        assert read_reply(0, bare) == (EngineOutput(0), None)

    def test_leaves_out_what_is_not_of_its_kind(self) -> None:
        odd = {
            "choices": [{"message": {"content": "x"}, "finish_reason": 5, "token_ids": [1, True]}],
            "usage": {"prompt_tokens": "3"},
            "prompt_token_ids": [1.0],
        }
        assert read_reply(7, json.dumps(odd).encode()) == (EngineOutput(7, "x"), None)

    @pytest.mark.parametrize(
        "body",
        [
            *(b'{"choices": [{"message": []}]}', b'{"choices": [5]}', b'{"choices": {}}'),
            *(b'{"choices": [{"message": {"content": 5}}]}', b"[" * 100_000, b"null"),
        ],
    )
    def test_of_a_shape_that_is_none_is_unreadable(self, body: bytes) -> None:
        with pytest.raises(ValueError, match="not a chat completion"):
            read_reply(0, body)

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_of_any_other_kind_is_unreadable(self, body: bytes) -> None:
        with pytest.raises(ValueError, match="not a chat completion"):
            read_reply(0, body)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["choices", "message", "content", "usage", "token_ids"]), inner
                )
            ),
            max_leaves=12,
        )
    )
    def test_of_any_json_is_read_or_unreadable(self, value: object) -> None:
        try:
            output, _ = read_reply(0, json.dumps(value).encode())
        except ValueError:
            return
        assert isinstance(output.text, str)


class TestRefusal:
    @pytest.mark.parametrize(
        "words",
        [
            "This model's maximum context length is 8192 tokens. However, your prompt contains",
            "Input length (10102) exceeds model's maximum context length (8192).",
            "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
        ],
    )
    def test_for_length_is_an_overflow(self, words: str) -> None:
        refused = refusal(1, 400, json.dumps({"error": {"message": words}}).encode())
        assert refused.overflow
        assert refused.error == f"the server refused it: {words}"

    def test_for_anything_else_is_none(self) -> None:
        refused = refusal(1, 400, b'{"error": {"message": "temperature must be non-negative"}}')
        assert (refused.index, refused.overflow) == (1, False)

    def test_for_size_says_what_to_do(self) -> None:
        for refused in (
            refusal(0, 400, b'{"error": {"message": "Maximum file size exceeded"}}'),
            refusal(0, 413, b"<html>Request Entity Too Large</html>"),
        ):
            assert refused.error is not None
            assert "VLLM_MAX_AUDIO_CLIP_FILESIZE_MB" in refused.error

    def test_without_words_has_its_status(self) -> None:
        assert refusal(0, 418, b"\xff").error == "the server refused it: status 418"

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            *((b'{"error": {"message": "No."}}', "No."), (b'{"detail": "Not Found"}', "Not Found")),
            *((b'{"error": "No."}', "No."), (b'{"message": 5}', ""), (b'{"error": []}', "")),
            *((b"[1]", ""), (b"<html>", ""), (b"[" * 100_000, "")),
        ],
    )
    def test_says_what_there_is_to_say(self, body: bytes, said: str) -> None:
        assert message(body) == said

    def test_is_one_short_line(self) -> None:
        said = message(json.dumps({"error": "a\n\x1b[31mb" + "c" * 5000}).encode())
        assert said.startswith(r"a \x1b[31mb")
        assert len(said) == 300
