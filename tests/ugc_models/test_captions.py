"""A caption is a plain string to everybody, and tells how it came about to who asks."""

from __future__ import annotations

import copy
import json
import pickle

from ugc_models.captions import Caption, Generation

MADE = Generation(
    finish_reason="stop",
    prompt_tokens=812,
    output_tokens=9,
    frames=8,
    fps=1.25,
    size=(168, 112),
    seconds=6.4,
    sound_seconds=6.4,
)


def test_is_the_string_itself() -> None:
    caption = Caption("A dog barks.", MADE)
    assert isinstance(caption, str)
    assert caption == "A dog barks."
    assert hash(caption) == hash("A dog barks.")
    assert f"{caption}" == "A dog barks."
    assert caption.upper() == "A DOG BARKS."
    assert {"A dog barks.": 1}[caption] == 1


def test_any_sound_was_heard_and_none_was_not() -> None:
    assert Caption("", Generation(sound_seconds=0.02)).generation["heard"]
    assert not Caption("", Generation(sound_seconds=0.0)).generation["heard"]


def test_a_record_of_another_version_is_read_as_far_as_it_goes() -> None:
    assert Generation.from_dict({"frames": 8, "colour": "red"}) == Generation(frames=8)
    assert Generation.from_dict({"size": [4, 2], "flags": ["repetition"]}) == Generation(
        size=(4, 2), flags=("repetition",)
    )


def test_an_empty_caption_is_false_and_still_tells_why() -> None:
    caption = Caption("", Generation(error="the video cannot be read: the file is empty"))
    assert not caption
    assert caption.generation["error"] == "the video cannot be read: the file is empty"
    assert caption.generation["output_tokens"] is None


def test_generation_has_every_field_and_whether_the_clip_was_heard() -> None:
    assert Caption("x", MADE).generation == {
        "error": None,
        "finish_reason": "stop",
        "prompt_tokens": 812,
        "output_tokens": 9,
        "frames": 8,
        "fps": 1.25,
        "size": (168, 112),
        "seconds": 6.4,
        "sound_seconds": 6.4,
        "sound_missing": None,
        "sound_offset": None,
        "sound_gaps": 0.0,
        "picture_track": None,
        "sound_track": None,
        "frames_dropped": 0,
        "media": None,
        "flags": (),
        "decoding": None,
        "stored": False,
        "api": None,
        "heard": True,
    }


def test_a_clip_without_sound_was_not_heard() -> None:
    caption = Caption("x", Generation(sound_missing="the file has no sound"))
    assert caption.generation["heard"] is False


def test_where_an_api_does_not_tell_of_sound_nobody_knows() -> None:
    for told, heard in ((None, None), (0, False)):
        caption = Caption("x", Generation(api={"audio_tokens": told}))
        assert caption.generation["heard"] is heard


def test_survives_pickling_as_lmms_eval_gathers_ranks() -> None:
    caption = Caption("Rain, then „Gewitter“ ⛈", MADE)
    again = pickle.loads(pickle.dumps(caption))  # noqa: S301  our own bytes
    assert type(again) is Caption
    assert again == caption
    assert again.generation == caption.generation


def test_survives_copying() -> None:
    caption = Caption("x", MADE)
    for again in (copy.copy(caption), copy.deepcopy(caption)):
        assert (again, again.generation) == (caption, caption.generation)


def test_is_a_plain_string_in_json_and_its_generation_can_be_written_too() -> None:
    caption = Caption('say "hi"\n', MADE)
    assert json.dumps([caption]) == json.dumps(['say "hi"\n'])
    assert json.loads(json.dumps(caption.generation))["size"] == [168, 112]


def test_what_strings_are_made_of_it_are_plain_ones() -> None:
    assert type(Caption(" x ", MADE).strip()) is str


def test_what_others_say_of_a_failure_is_one_harmless_line_of_bounded_length() -> None:
    said = "no\n\x1b[2Jsound" + "!" * 2_000
    made = Caption("", Generation(error=said, sound_missing=said)).generation
    assert made["error"] == made["sound_missing"] == r"no \x1b[2Jsound" + "!" * 984 + "…"


def test_lone_surrogates_which_no_file_can_hold_are_question_marks() -> None:
    """A server's JSON can spell them, in its answers and in its errors."""
    caption = Caption("half \udc80 a pair \N{DOG FACE}", Generation(error="\ud800 failed"))
    assert caption == "half ? a pair \N{DOG FACE}"
    assert caption.generation["error"] == r"\ud800 failed"
    assert json.dumps([caption, caption.generation], ensure_ascii=False).encode()
