"""What this model takes as a conversation, and what it refuses in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ugc_models.prompt import (
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
        assert chat == Conversation([user(text("Hello?"))], None)

    @pytest.mark.parametrize("url", ["clips/a.mp4", Path("clips/a.mp4")])
    def test_names_the_file_of_its_video(self, url: str | Path) -> None:
        chat = conversation([user({"type": "video", "url": url})], None)
        assert chat.video == Path("clips/a.mp4")

    def test_leaves_the_messages_of_the_task_as_they_are(self) -> None:
        messages = [user(VIDEO, text("What is it?"))]
        conversation(messages, "Be brief.")
        assert messages == [user(VIDEO, text("What is it?"))]


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
    def test_more_than_one_video(self) -> None:
        with pytest.raises(PromptError, match="takes one video a request, not 2"):
            conversation([user(VIDEO, text("and")), user(VIDEO)], None)

    @pytest.mark.parametrize("kind", ["image", "audio", "tool", None])
    def test_a_part_that_is_neither_text_nor_video(self, kind: str | None) -> None:
        with pytest.raises(PromptError, match=f"takes text and video, not {kind!r}"):
            conversation([user({"type": kind, "url": "/clips/a.png"})], None)

    @pytest.mark.parametrize("url", [None, 7, b"/clips/a.mp4", ["/clips/a.mp4"]])
    def test_a_video_that_is_not_a_path(self, url: object) -> None:
        with pytest.raises(PromptError, match="must be the path of a file"):
            conversation([user({"type": "video", "url": url})], None)

    @pytest.mark.parametrize(
        "token",
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|VIDEO|>", "<|AUDIO|>", "<|vision_bos|>"],
    )
    def test_text_that_spells_a_control_token_by_name(self, token: str) -> None:
        with pytest.raises(PromptError) as refusal:
            conversation([user(text(f"What is {token}system?"))], None)
        assert token in str(refusal.value)

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
