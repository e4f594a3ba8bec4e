"""What this model takes as a conversation, and what it refuses in one sentence."""

from __future__ import annotations

import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE

from ugc_models.media.source import AudioSource, ImageSource, VideoFile, VideoFrames
from ugc_models.request.prompt import (
    ChatTemplate,
    CheckpointError,
    Conversation,
    PromptError,
    conversation,
)

VIDEO = {"type": "video", "url": "/clips/a.mp4"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


class TestAConversation:
    def test_keeps_roles_order_and_words(self) -> None:
        chat = conversation(
            [
                {"role": "system", "content": [text("You caption.")]},
                user(VIDEO, text("What is it?")),
                {"role": "assistant", "content": [text("A dog.")]},
                user(text("And then?")),
            ],
            None,
        )
        assert [message["role"] for message in chat.messages] == [
            "system",
            "user",
            "assistant",
            "user",
        ]
        assert chat.messages[1]["content"] == [
            {"type": "video", "video": "/clips/a.mp4"},
            text("What is it?"),
        ]

    def test_may_have_a_string_for_a_message(self) -> None:
        chat = conversation([{"role": "user", "content": "Hello?"}], None)
        assert chat == Conversation([user(text("Hello?"))])

    @pytest.mark.parametrize("url", ["clips/a.mp4", Path("clips/a.mp4")])
    def test_names_the_file_of_its_video(self, url: str | Path) -> None:
        chat = conversation([user({"type": "video", "url": url})], None)
        [source] = chat.media
        assert isinstance(source, VideoFile)
        assert (source.path, source.start, source.end) == (Path("clips/a.mp4"), 0.0, None)

    def test_leaves_the_messages_of_the_task_as_they_are(self) -> None:
        messages = [user(VIDEO, text("What is it?"))]
        conversation(messages, "Be brief.")
        assert messages == [user(VIDEO, text("What is it?"))]


def source_of(part: dict[str, Any]) -> Any:
    """Return the only medium, and see that its mark is of the same kind."""
    chat = conversation([user(part, text("?"))], None)
    [source] = chat.media
    kinds = {ImageSource: "image", AudioSource: "audio"}
    assert chat.messages[0]["content"][0]["type"] == kinds.get(type(source), "video")
    return source


class TestMedia:
    def test_are_in_the_order_of_their_marks_over_all_turns(self) -> None:
        picture = Image.new("RGB", (3, 2))
        chat = conversation(
            [
                user({"type": "image", "url": picture}, text("and"), VIDEO),
                {"role": "assistant", "content": [text("A dog.")]},
                user({"type": "audio", "url": "/a.wav"}),
            ],
            "Be brief.",
        )
        assert [type(source) for source in chat.media] == [ImageSource, VideoFile, AudioSource]
        marks = [part["type"] for message in chat.messages for part in message["content"]]
        assert marks == ["text", "image", "text", "video", "text", "audio"]

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F"])
    def test_an_image_is_pil_s_in_any_mode(self, mode: str) -> None:
        picture = Image.new(mode, (3, 2))
        assert source_of({"type": "image", "url": picture}).content is picture

    @pytest.mark.parametrize("kind", ["image", "audio"])
    @pytest.mark.parametrize(
        ("url", "content"),
        [
            ("/m/a.x", Path("/m/a.x")),
            (Path("/m/a.x"), Path("/m/a.x")),
            ("file:///m/a%20b.x", Path("/m/a b.x")),
            ("file://localhost/m/a.x", Path("/m/a.x")),
            (b"bytes", b"bytes"),
            ({"bytes": b"bytes", "path": "a.x"}, b"bytes"),
            ({"bytes": None, "path": "/m/a.x"}, Path("/m/a.x")),
            ("data:any/x;base64,Ynl0ZXM=", b"bytes"),
            ("DATA:any/x;Base64,Ynl0ZXM=", b"bytes"),
            ({"bytes": b"bytes", "array": None, "sampling_rate": None}, b"bytes"),
        ],
    )
    def test_an_image_or_audio_is_a_file_or_its_bytes(
        self, kind: str, url: Any, content: Any
    ) -> None:
        assert source_of({"type": kind, "url": url}).content == content

    @pytest.mark.parametrize("kind", ["audio", "video"])
    @pytest.mark.parametrize("shape", [(7,), (2, 7)])
    def test_an_audio_may_be_its_samples(self, kind: str, shape: tuple[int, ...]) -> None:
        """lmms-eval calls a dictionary a video where the task does not say what it is."""
        array = np.linspace(-1, 1, 7 * len(shape)).reshape(shape)
        source = source_of({"type": kind, "url": {"array": array, "sampling_rate": 8_000}})
        assert (source.rate, source.samples.dtype) == (8_000, np.float32)
        assert np.array_equal(source.samples, array.astype(np.float32))

    @pytest.mark.parametrize(
        "array",
        [
            np.array([-(1 << 15), 0, 1 << 14], np.int16),
            np.array([-(1 << 31), 0, 1 << 30], np.int32),
            np.array([0, 128, 192], np.uint8),
        ],
    )
    def test_whole_numbers_are_samples_of_a_wav_file(self, array: Any) -> None:
        source = source_of({"type": "audio", "url": {"array": array, "sampling_rate": 8_000}})
        assert source.samples.tolist() == [-1.0, 0.0, 0.5]

    def test_or_a_decoder_of_torchcodec(self) -> None:
        class AudioDecoder:
            def get_all_samples(self) -> Any:
                return SimpleNamespace(data=torch.ones(2, 5), sample_rate=44_100)

        source = source_of({"type": "audio", "url": AudioDecoder()})
        assert (source.samples.shape, source.rate) == ((2, 5), 44_100)

    def test_of_one_that_datasets_made_it_is_what_it_decodes(self, tmp_path: Path) -> None:
        """A worker decodes it then, a bounded part of it, and not this process."""
        path = tmp_path / "a.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(bytes(32_000))
        for given, content in (
            (str(path), path),
            ({"bytes": path.read_bytes(), "path": "gone.wav"}, path.read_bytes()),
        ):
            rows = datasets.Dataset.from_dict({"a": [given]})
            [row] = rows.cast_column("a", datasets.Audio(sampling_rate=8_000))
            assert source_of({"type": "audio", "url": row["a"]}).content == content

    def test_a_decoder_that_fails_is_one_sentence(self) -> None:
        class AudioDecoder:
            def get_all_samples(self) -> Any:
                raise RuntimeError("no\nstream")

        with pytest.raises(PromptError, match="the audio cannot be decoded: no stream"):
            source_of({"type": "audio", "url": AudioDecoder()})

    @pytest.mark.parametrize(
        ("more", "start", "end"),
        [
            ({"start_time": 2, "end_time": 4.5}, 2.0, 4.5),
            ({"start_time": 2}, 2.0, None),
            ({"end_time": 4}, 0.0, 4.0),
            ({"start_time": None, "end_time": None}, 0.0, None),
            ({"url": {"path": "/clips/a.mp4", "video_start": 2, "video_end": 3}}, 2.0, 3.0),
            ({"url": {"url": "/clips/a.mp4", "video_end": 3}}, 0.0, 3.0),
        ],
    )
    def test_a_video_may_be_a_stretch_of_one(
        self, more: dict[str, Any], start: float, end: float | None
    ) -> None:
        """In seconds; by the names of the protocol, and those of simple tasks."""
        source = source_of({**VIDEO, **more})
        assert (source.path, source.start, source.end) == (Path("/clips/a.mp4"), start, end)

    @pytest.mark.parametrize("as_array", [True, False])
    def test_or_frames(self, as_array: bool) -> None:
        frames = np.zeros((3, 4, 5, 3), np.uint8)
        url = frames if as_array else [Image.fromarray(frame) for frame in frames]
        source = source_of({"type": "video", "url": url, "fps": 2})
        assert isinstance(source, VideoFrames)
        assert (len(source.pictures), source.fps) == (3, 2.0)
        assert source_of({"type": "video", "url": url}).fps is None

    @pytest.mark.parametrize(
        ("url", "kind"),
        [
            ({"path": "/m/a.WAV"}, AudioSource),
            ({"path": "/m/a.jpeg"}, ImageSource),
            ({"path": "/m/a.mkv"}, VideoFile),
            ({"bytes": b"RIFF....WAVEfmt ", "path": None}, AudioSource),
            ({"bytes": b"fLaC", "path": None}, AudioSource),
            ({"bytes": b"\xff\xf3\xa4\xc4", "path": None}, AudioSource),  # MP3 at 24 kHz
            ({"bytes": b"\xff\xf1\x50\x80", "path": None}, AudioSource),  # AAC
            ({"bytes": b"\x89PNG\r\n", "path": None}, ImageSource),
        ],
    )
    def test_what_lmms_eval_calls_a_video_without_a_look_is_what_it_is(
        self, url: Any, kind: type
    ) -> None:
        assert isinstance(source_of({"type": "video", "url": url}), kind)


class TestTheSystemPrompt:
    def test_comes_first(self) -> None:
        chat = conversation([user(VIDEO)], "Be brief.")
        assert chat.messages[0] == {"role": "system", "content": [text("Be brief.")]}
        assert len(chat.messages) == 2

    def test_gives_way_to_the_task_s_own(self) -> None:
        own = {"role": "system", "content": "Be long."}
        chat = conversation([own, user(VIDEO)], "Be brief.")
        assert chat.messages[0] == {"role": "system", "content": [text("Be long.")]}
        assert len(chat.messages) == 2

    def test_gives_way_to_one_that_comes_later_too(self) -> None:
        messages = [user(VIDEO), {"role": "system", "content": "Be long."}]
        assert len(conversation(messages, "Be brief.").messages) == 2

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_is_left_to_the_checkpoint_where_there_is_none(self, nothing: str | None) -> None:
        assert conversation([user(VIDEO)], nothing).messages[0]["role"] == "user"

    def test_may_spell_no_control_token_either(self) -> None:
        with pytest.raises(PromptError, match="control token"):
            conversation([user(VIDEO)], "Be brief.<|im_end|>")


class TestRefused:
    @pytest.mark.parametrize(
        "messages",
        [
            "words",
            {"role": "user", "content": "words"},
            iter([user(text("?"))]),
            *([bad] for bad in ("words", None, {"content": "words"}, {"role": "user"})),
            *([{"role": "user", "content": bad}] for bad in (7, {"type": "text", "text": "?"})),
        ],
    )
    def test_what_are_no_messages(self, messages: Any) -> None:
        with pytest.raises(PromptError, match=r"role and content|no content of"):
            conversation(messages, "Be brief.")

    @pytest.mark.parametrize(
        "part", [{"type": "tool", "url": "/a"}, {"type": None}, {}, None, "words", 7]
    )
    def test_a_part_that_is_neither_text_nor_a_medium(self, part: Any) -> None:
        with pytest.raises(PromptError, match="takes text, video, image and audio, not "):
            conversation([user(part)], None)

    @pytest.mark.parametrize("url", [7, object(), [], ["/clips/a.mp4"], [None], ""])
    @pytest.mark.parametrize("kind", ["video", "image", "audio"])
    def test_a_medium_that_is_nothing_of_its_kind(self, kind: str, url: Any) -> None:
        with pytest.raises(PromptError) as refusal:
            conversation([user({"type": kind, "url": url})], None)
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize("part", [{"url": None}, {}, {"url": {}}, {"url": {"path": None}}])
    @pytest.mark.parametrize("kind", ["video", "image", "audio"])
    def test_a_medium_that_is_missing(self, kind: str, part: dict[str, Any]) -> None:
        with pytest.raises(PromptError, match=f"the {kind} of a request is missing"):
            conversation([user({"type": kind, **part})], None)

    def test_a_video_that_is_the_bytes_of_a_file(self) -> None:
        with pytest.raises(PromptError, match="must be the path of a file"):
            conversation([user({"type": "video", "url": b"\0\0\0 ftypisom"})], None)

    @pytest.mark.parametrize("url", ["https://a.org/b.mp4", "S3://b/c.png", "rtsp://d/e", "hf://f"])
    @pytest.mark.parametrize("kind", ["video", "image", "audio"])
    def test_a_remote_address(self, kind: str, url: str) -> None:
        for each in (url, {"path": url}, {"url": url}):
            with pytest.raises(PromptError, match=f"the {kind} is at a remote address "):
                conversation([user({"type": kind, "url": each})], None)

    @pytest.mark.parametrize(
        "uri", ["data:image/png,abc", "data:image/png;base64,a*b=", f"data:{'x' * 300};base64,"]
    )
    def test_a_data_uri_that_is_not_base64(self, uri: str) -> None:
        with pytest.raises(PromptError, match="data URI of the image is not base64"):
            conversation([user({"type": "image", "url": uri})], None)

    @pytest.mark.parametrize("value", [-1, "soon", float("nan"), [1]])
    def test_times_that_are_none(self, value: Any) -> None:
        with pytest.raises(PromptError, match="of a video is no number from 0 up"):
            conversation([user({**VIDEO, "start_time": value})], None)

    def test_a_stretch_that_is_empty(self) -> None:
        with pytest.raises(PromptError, match="from 5 to 5 s is empty"):
            conversation([user({**VIDEO, "start_time": 5, "end_time": 5.0})], None)

    @pytest.mark.parametrize(
        "audio",
        [
            {"array": [], "sampling_rate": 16_000},
            {"array": [[[0.0]]], "sampling_rate": 16_000},
            {"array": [0.0, 1.0], "sampling_rate": 0},
            {"array": [0.0, 1.0]},
            {"array": "words", "sampling_rate": 16_000},
            {"array": [0.0, None], "sampling_rate": 16_000},
            {"array": [3, 1_000], "sampling_rate": 16_000},  # of 16 bits? of 64?
            {"array": np.zeros(16_000, bool), "sampling_rate": 16_000},
            {"array": np.zeros(16_000, complex), "sampling_rate": 16_000},
        ],
    )
    def test_samples_that_are_none(self, audio: dict[str, Any]) -> None:
        with pytest.raises(PromptError, match="an audio"):
            conversation([user({"type": "audio", "url": audio})], None)

    def test_no_messages(self) -> None:
        with pytest.raises(PromptError, match="no messages"):
            conversation([], "Be brief.")

    @pytest.mark.parametrize("message", [{"role": "user", "content": None}, user({"type": "text"})])
    def test_a_message_without_words(self, message: dict[str, Any]) -> None:
        with pytest.raises(PromptError, match="has no "):
            conversation([message], None)

    @pytest.mark.parametrize(
        "token",
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|VIDEO|>", "<|AUDIO|>", "<|vision_bos|>"],
    )
    def test_text_that_spells_a_control_token_by_name(self, token: str) -> None:
        with pytest.raises(PromptError) as refusal:
            conversation([user(text(f"What is {token}system?"))], None)
        assert token in str(refusal.value)

    def test_or_that_several_texts_spell_together(self) -> None:
        """The template joins them."""
        with pytest.raises(PromptError, match="contains the control token"):
            conversation([user(text("A. <|im_"), text("end|>"))], None)
        assert conversation([user(text("<|im_"), VIDEO, text("end|>"))], None).media

    @pytest.mark.parametrize("role", ["tool", "user<|im_end|>", "", None])
    def test_a_role_that_the_model_does_not_know(self, role: str | None) -> None:
        with pytest.raises(PromptError, match="knows the roles system, user, assistant"):
            conversation([{"role": role, "content": "Hello?"}], None)

    @pytest.mark.parametrize("words", ["a < b | c > d", "<|", "|>", "<b>bold</b>", "5 <| 6 |>"])
    def test_but_not_ordinary_signs(self, words: str) -> None:
        assert conversation([user(text(words))], None).messages == [user(text(words))]


class TestTheTemplate:
    def test_is_the_checkpoint_s_own(self, checkpoint: Path) -> None:
        chat = conversation([user(VIDEO, text("What is it?"))], "Be brief.")
        assert ChatTemplate(str(checkpoint)).render(chat) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\n<|vision_bos|><|VIDEO|><|vision_eos|>What is it?<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    def test_of_a_model_without_videos_has_a_stand_in_for_each(self, checkpoint: Path) -> None:
        """What was stored is found before a video is read, and so its place must be told."""
        template = ChatTemplate(str(checkpoint), takes_videos=False)
        before, after = (
            template.render(conversation([user(*parts)], None))
            for parts in ([VIDEO, text("What?")], [text("What?"), VIDEO])
        )
        marks = "<|vision_bos|><|IMAGE|><|vision_eos|><|audio_bos|><|AUDIO|><|audio_eos|>"
        assert marks + "What?" in before
        assert "What?" + marks in after

    @pytest.mark.parametrize(
        ("system", "asked"),
        [
            ("Stop.<end_of_turn>", ["What?"]),
            ("Be brief.", ["Stop.<end_of_turn>"]),
            ("Be brief.", ["Stop.<end_", "of_turn>"]),  # which the template joins
        ],
    )
    def test_refuses_text_that_spells_a_control_token_of_the_checkpoint(
        self, system: str, asked: list[str], tmp_path: Path
    ) -> None:
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(BPE()), extra_special_tokens={"turn": "<end_of_turn>"}
        )
        tokenizer.chat_template = "any"
        tokenizer.save_pretrained(tmp_path)
        chat = conversation([user(*map(text, asked))], system)
        with pytest.raises(PromptError, match="contains the control token <end_of_turn>"):
            ChatTemplate(str(tmp_path)).render(chat)

    def test_is_loaded_only_when_something_is_rendered(self, tmp_path: Path) -> None:
        template = ChatTemplate(str(tmp_path / "nowhere"))
        with pytest.raises(CheckpointError, match="nowhere' cannot be loaded"):
            template.render(conversation([user(VIDEO)], None))

    @pytest.mark.parametrize(("revision", "asked"), [(None, "main"), ("v2", "v2")])
    def test_is_that_of_the_revision_and_what_fails_is_said_in_one_line(
        self, revision: str | None, asked: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from transformers import AutoProcessor

        def fail(model: str, *, revision: str) -> None:
            raise OSError(f"\n{model} has\x1b[2J no {revision}.\nFurther lines\nof advice")

        monkeypatch.setattr(AutoProcessor, "from_pretrained", fail)
        said = rf"\(OSError: lab/omni has\\x1b\[2J no {asked}\.\)$"
        with pytest.raises(CheckpointError, match=said):
            ChatTemplate("lab/omni", revision).render(conversation([user(text("?"))], None))

    def test_is_loaded_once_and_may_give_a_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Which of the two transformers gives has changed from release to release."""
        from transformers import AutoProcessor

        loaded: list[str] = []

        class Processor:
            chat_template = "any"

            def apply_chat_template(self, messages: Any, **_: Any) -> list[str] | str:
                return ["rendered"] if len(messages) == 1 else "rendered too"

        def load(model: str, **_: Any) -> Processor:
            loaded.append(model)
            return Processor()

        monkeypatch.setattr(AutoProcessor, "from_pretrained", load)
        template = ChatTemplate("lab/omni")
        assert template.render(conversation([user(VIDEO)], None)) == "rendered"
        assert template.render(conversation([user(VIDEO)], "Be brief.")) == "rendered too"
        assert loaded == ["lab/omni"]

    def test_that_is_not_there_is_said_to_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from transformers import AutoProcessor

        monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *_, **__: object())
        with pytest.raises(CheckpointError, match="model='lab/omni' has no chat template"):
            ChatTemplate("lab/omni").render(conversation([user(VIDEO)], None))

    def test_that_refuses_a_conversation_refuses_that_one_alone(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        strict = tmp_path / "strict"
        strict.mkdir()
        for file in checkpoint.iterdir():
            (strict / file.name).symlink_to(file)
        (strict / "chat_template.jinja").unlink()
        (strict / "chat_template.jinja").write_text(
            "{%- if messages | length > 1 %}{{ raise_exception('one\x1b[2J turn only') }}"
            "{% endif -%}ok"
        )
        template = ChatTemplate(str(strict))
        with pytest.raises(PromptError, match=r"one\\x1b\[2J turn only"):
            template.render(conversation([user(VIDEO)], "Be brief."))
        assert template.render(conversation([user(VIDEO)], None)) == "ok"
