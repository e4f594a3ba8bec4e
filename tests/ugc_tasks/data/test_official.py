"""The official prompts come as data, are known by their digests, and are never run."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.file_server import FileServer
from tests.support.reference import reference_dir
from ugc_tasks.data.official import (
    COMMIT,
    OFFICIAL_TEXTS,
    OfficialPromptError,
    OfficialText,
    obtain,
    official_text,
    read_constant,
)

PROMPT = "You grade captions.\nSay {'visual': int}.\n"
SCRIPT = b"""
import os
os.environ["UGC_TEST_WAS_RUN"] = "yes"
raise SystemExit("this script must not be run")

def judge():
    prompt = (
        "You grade captions.\\n"
        "Say {'visual': int}.\\n"
    )
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def text_in(script: bytes, prompt: str = PROMPT) -> OfficialText:
    return OfficialText(
        "test", "folder/judge.py", "prompt", sha256(prompt.encode()), sha256(script)
    )


TEXT = text_in(SCRIPT)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with FileServer([(200, SCRIPT)]).running() as running:
        yield running


@pytest.fixture
def get(host: FileServer, tmp_path: Path) -> Callable[..., str]:
    def get_one(text: OfficialText = TEXT, *, home: Path | None = None) -> str:
        return obtain(
            text, home=home, cache=tmp_path / "cache", endpoint=host.endpoint, backoff=0.01
        )

    return get_one


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


def test_a_prompt_is_downloaded_once_by_commit_and_kept(
    host: FileServer, get: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UGC_TEST_WAS_RUN", raising=False)
    assert get() == PROMPT
    assert get() == PROMPT
    assert host.asked == [f"/WPR001/UGC_VideoCaptioner/{COMMIT}/folder/judge.py"]
    assert [path.name for path in (tmp_path / "cache" / "prompts").iterdir()] == ["test.txt"]
    assert "UGC_TEST_WAS_RUN" not in os.environ


def test_the_users_own_copy_comes_first(
    host: FileServer, get: Callable[..., str], tmp_path: Path
) -> None:
    write(tmp_path / "home" / "prompts" / "test.txt", PROMPT)
    assert get(home=tmp_path / "home") == PROMPT
    assert not host.asked


def test_a_changed_copy_of_the_users_is_an_error_and_not_replaced(
    host: FileServer, get: Callable[..., str], tmp_path: Path
) -> None:
    own = write(tmp_path / "home" / "prompts" / "test.txt", PROMPT + "\n")
    with pytest.raises(OfficialPromptError, match=r"home/prompts/test\.txt is not the official"):
        get(home=tmp_path / "home")
    assert own.read_text() == PROMPT + "\n"
    assert not host.asked


def test_a_damaged_cache_is_fetched_again(get: Callable[..., str], tmp_path: Path) -> None:
    kept = write(tmp_path / "cache" / "prompts" / "test.txt", PROMPT[:10])
    assert get() == PROMPT
    assert kept.read_bytes() == PROMPT.encode()


def test_a_failed_download_is_said_with_a_way_out(
    host: FileServer, get: Callable[..., str]
) -> None:
    host.answers = [(404, b"")]
    with pytest.raises(OfficialPromptError, match=r"127\.0\.0\.1: .*status 404.*RAW_ENDPOINT"):
        get()


@pytest.mark.parametrize("endpoint", ["file:///etc", "ftp://example.org", "nowhere"])
def test_only_web_addresses_are_fetched(tmp_path: Path, host: FileServer, endpoint: str) -> None:
    with pytest.raises(OfficialPromptError, match="UGC_VIDEOCAP_RAW_ENDPOINT"):
        obtain(TEXT, home=None, cache=tmp_path, endpoint=endpoint)


def test_another_script_is_refused_and_nothing_is_kept(
    host: FileServer, get: Callable[..., str], tmp_path: Path
) -> None:
    host.answers = [(200, SCRIPT + b"\n")]
    with pytest.raises(OfficialPromptError, match="is not the script of commit"):
        get()
    assert not (tmp_path / "cache").exists()


def test_an_endless_answer_is_cut_short(host: FileServer, get: Callable[..., str]) -> None:
    host.answers = [(200, b"#" * (3 << 20))]
    with pytest.raises(OfficialPromptError, match="larger than 1048576 bytes"):
        get()


def test_offline_says_which_file_to_put_where(
    host: FileServer, get: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfficialPromptError, match="HF_HUB_OFFLINE") as caught:
        get()
    for part in ("folder/judge.py", "prompt", COMMIT, str(tmp_path / "cache/prompts/test.txt")):
        assert part in str(caught.value)
    assert not host.asked


def test_a_cache_that_cannot_be_written_costs_a_warning_only(
    host: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = write(tmp_path / "cache", "a file in the way")
    assert obtain(TEXT, home=None, cache=cache, endpoint=host.endpoint) == PROMPT
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize(
    "script",
    [
        b"prompt = 'A' 'B'",
        b"prompt: str = 'AB'",
        b"def f():\n    prompt = ('A'\n 'B')",
        b"prompt = f'A' + 'B'",
        b"prompt = 1\nprompt = 'other'\nprompt = 'AB'",
        b"other = prompt = 'AB'",
    ],
)
def test_a_string_is_read_wherever_and_however_it_is_spelt_out(script: bytes) -> None:
    assert read_constant(script, text_in(script, "AB")) == "AB"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (b"prompt = f'A{1}'", "assigns no plain string"),
        (b"prompt = 'A'.lower()", "assigns no plain string"),
        (b"prompt = 'A' * 2", "assigns no plain string"),
        (b"prompt = b'AB'", "assigns no plain string"),
        (b"prompt += 'AB'", "assigns no plain string"),
        (b"prompt: str", "assigns no plain string"),
        (b"Prompt = 'AB'", "assigns no plain string"),
        (b"prompt = 'BA'", "is not the official prompt"),
        (b"prompt = '\\ud800'", "is not the official prompt"),
        (b"prompt = (", "does not parse"),
        (b"\x00", "does not parse"),
        (b"(" * 100_000, "does not parse"),
    ],
)
def test_what_would_have_to_be_evaluated_is_refused(script: bytes, said: str) -> None:
    with pytest.raises(OfficialPromptError, match=said):
        read_constant(script, text_in(script, "AB"))


@pytest.mark.parametrize("name", sorted(OFFICIAL_TEXTS))
def test_the_four_official_prompts_have_their_digests(name: str, tmp_path: Path) -> None:
    reference = reference_dir()
    expected = (reference / "prompts" / f"{name}.txt").read_bytes().decode()
    assert official_text(name, home=reference, cache=tmp_path) == expected


def test_the_endpoint_can_be_set_from_outside(
    host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", host.endpoint)
    with pytest.raises(OfficialPromptError, match="is not the script of commit"):
        official_text("caption_judge_system", home=None, cache=tmp_path)
    assert host.asked == [f"/WPR001/UGC_VideoCaptioner/{COMMIT}/eval_caption.py"]


def test_an_unknown_name_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(OfficialPromptError, match="caption_judge_system"):
        official_text("../../etc/passwd", home=tmp_path, cache=tmp_path)


def test_a_registered_text_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        OFFICIAL_TEXTS["inference_prompt"].text_sha256 = "0"  # type: ignore[misc]
