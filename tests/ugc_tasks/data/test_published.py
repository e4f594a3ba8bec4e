"""The published files come by digest, once, and nothing else is taken for them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from tests.support import published as support
from tests.support.loopback import silent_server
from tests.support.published import GITHUB, HUB, PROMPT, SCRIPT, sha256
from tests.support.reference import reference_dir
from tests.support.web_host import Answer, WebHost
from ugc_tasks.benchmark import SPECS, questions_of
from ugc_tasks.common.files import DataError
from ugc_tasks.data import fetch, published
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import (
    FILES,
    Collected,
    PublishedFile,
    annotation,
    collect,
    is_published,
    official_text,
    published_questions,
)

TONE, BGM = FILES["tone.json"], FILES["BGM.json"]
PROMPT_FILE = "prompts/judge.txt"


@pytest.fixture
def server(host: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WebHost:
    """The Hub and GitHub in one, with files of another digest in the place of the real ones."""
    support.install(monkeypatch)
    for path, content in support.pages().items():
        host.add(path, Answer(content))
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HF_ENDPOINT", "UGC_VIDEOCAP_RAW_ENDPOINT"):
        monkeypatch.setenv(variable, host.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    return host


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def home(cache: Path) -> Home:
    return Home.from_env({"UGC_VIDEOCAP_CACHE": str(cache)})


def text(cache: Path, home: Path | None = None) -> str:
    return official_text("judge", home=home, cache=cache)


def test_the_users_own_annotations_come_first_whatever_they_say(
    server: WebHost, tmp_path: Path
) -> None:
    (tmp_path / "tone.json").write_bytes(b"mine")
    found = annotation("tone.json", Home.from_env({"UGC_VIDEOCAP_HOME": str(tmp_path)}))
    assert (found.path, found.source) == (tmp_path / "tone.json", "local")
    assert server.asked == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (TONE, "openinterx/UGC-VideoCap@ed5c374"),
        (BGM, "WPR001/UGC_VideoCaptioner@5f53538"),
    ],
    ids=["Hub", "GitHub"],
)
def test_a_file_is_fetched_at_the_pinned_commit_once(
    server: WebHost, home: Home, cache: Path, file: PublishedFile, source: str
) -> None:
    for _ in range(2):
        found = annotation(file.name, home)
        assert (found.path, found.source) == (cache / file.name, source)
        assert found.path.read_bytes() == (HUB | GITHUB)[file.name]
    assert server.asked == ["/" + file.path]


def test_the_users_token_goes_to_the_hub_alone(
    server: WebHost, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_loopback")
    for name in ("tone.json", "BGM.json"):
        annotation(name, home)
    assert server.tokens == ["Bearer hf_loopback", None]


def test_what_the_hubs_own_client_has_is_taken_by_its_digest(
    server: WebHost, home: Home, tmp_path: Path
) -> None:
    snapshots = tmp_path / "hf/datasets--openinterx--UGC-VideoCap/snapshots"
    for commit, content in (("a" * 40, b"another"), ("b" * 40, HUB["tone.json"])):
        (snapshots / commit).mkdir(parents=True)
        (snapshots / commit / "tone.json").write_bytes(content)
    assert annotation("tone.json", home).path.read_bytes() == HUB["tone.json"]
    assert server.asked == []


@pytest.mark.parametrize("content", [b"", GITHUB["BGM.json"][:-1]])
def test_a_damaged_file_of_ours_is_fetched_again(
    server: WebHost, home: Home, cache: Path, content: bytes
) -> None:
    cache.mkdir()
    (cache / "BGM.json").write_bytes(content)
    assert annotation("BGM.json", home).path.read_bytes() == GITHUB["BGM.json"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=404), "the server answered with status 404"),
        (Answer(b"another"), "what came is another file (its SHA-256 is not "),
        (Answer(b"#" * (17 << 20)), "what is there is larger than 16777216 bytes"),
    ],
    ids=["no such file", "another file", "too large"],
)
def test_what_cannot_be_had_is_one_sentence_with_ways_out(
    server: WebHost, home: Home, cache: Path, answer: Answer, said: str
) -> None:
    for file, variable in ((TONE, "HF_ENDPOINT"), (BGM, "UGC_VIDEOCAP_RAW_ENDPOINT")):
        server.add("/" + file.path, answer)
        with pytest.raises(DataError) as caught:
            annotation(file.name, home)
        message = str(caught.value)
        assert message.startswith(f"{file.name} could not be downloaded from {file.source}: {said}")
        assert message.endswith(
            f"; run `ugc-videocap prepare` where there is a network, set {variable} to a server "
            f"that has the same files, or put the file into {cache}"
        )
    assert not cache.exists()


def test_a_home_without_the_file_is_named(
    server: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    home = Home.from_env({"UGC_VIDEOCAP_HOME": str(tmp_path)})
    with pytest.raises(DataError, match=f"^tone.json is not in UGC_VIDEOCAP_HOME={tmp_path}, and "):
        annotation("tone.json", home)
    assert server.asked == []


def test_a_cache_that_cannot_be_written_to_is_named(
    server: WebHost, home: Home, cache: Path
) -> None:
    cache.write_text("a file in the way")
    with pytest.raises(DataError, match=r"cache/tone\.json could not be written \("):
        annotation("tone.json", home)


def test_a_prompt_is_read_out_of_its_script_which_is_not_run(
    server: WebHost, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UGC_TEST_WAS_RUN", raising=False)
    script = b"""
import os
os.environ["UGC_TEST_WAS_RUN"] = "yes"
raise SystemExit("this script must not be run")
def judge():
    prompt = ("Judge "
      "this.")
"""
    install_script(monkeypatch, server, script)
    assert text(cache) == text(cache) == PROMPT
    assert server.asked == ["/judge.py"]
    assert [path.name for path in (cache / "prompts").iterdir()] == ["judge.txt"]
    assert "UGC_TEST_WAS_RUN" not in os.environ


def install_script(monkeypatch: pytest.MonkeyPatch, server: WebHost, script: bytes) -> None:
    file = dataclasses.replace(published.FILES[PROMPT_FILE], script_sha256=sha256(script))
    monkeypatch.setattr(published, "FILES", {PROMPT_FILE: file})
    server.add("/judge.py", Answer(script))


@pytest.mark.parametrize(
    "script",
    [
        b"p: str = 'Judge this.'",
        b"p = f'Judge ' + 'this.'",
        b"p = 'J' + ('udge' + ' ' + 'th') + 'is.'",
        b"p = 1\np = 'other'\np = 'Judge this.'",
    ],
)
def test_a_prompt_is_read_however_it_is_spelled_out(
    server: WebHost, cache: Path, monkeypatch: pytest.MonkeyPatch, script: bytes
) -> None:
    install_script(monkeypatch, server, script)
    assert text(cache) == PROMPT


@pytest.mark.parametrize(
    "script",
    [b"p = f'Judge {\"this.\"}'", b"p = 'Judge this.'.lower()", b"p = b'Judge this.'"],
)
def test_a_prompt_that_would_have_to_be_evaluated_is_not(
    server: WebHost, cache: Path, monkeypatch: pytest.MonkeyPatch, script: bytes
) -> None:
    file = dataclasses.replace(
        published.FILES[PROMPT_FILE], sha256=sha256(b"judge this."), script_sha256=sha256(script)
    )
    monkeypatch.setattr(published, "FILES", {PROMPT_FILE: file})
    server.add("/judge.py", Answer(script))
    with pytest.raises(DataError, match="the script has no text whose SHA-256 is"):
        text(cache)


def test_another_script_is_not_even_parsed(server: WebHost, cache: Path) -> None:
    server.add("/judge.py", Answer(b"(" * 100_000 + SCRIPT))
    with pytest.raises(DataError, match="what came is another file"):
        text(cache)
    assert not cache.exists()


def test_the_users_own_prompt_comes_first_and_must_be_the_official_one(
    server: WebHost, cache: Path, tmp_path: Path
) -> None:
    own = tmp_path / PROMPT_FILE
    own.parent.mkdir()
    own.write_text(PROMPT)
    assert text(cache, home=tmp_path) == PROMPT
    own.write_text(PROMPT + "\n")
    with pytest.raises(DataError, match=f"{own} is not the official prompt 'judge'"):
        text(cache, home=tmp_path)
    assert own.read_text() == PROMPT + "\n"
    assert server.asked == []


def test_an_unknown_prompt_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the names are caption_judge_system, background_judge_s"):
        official_text("../../etc/passwd", home=tmp_path, cache=tmp_path)


def test_the_pinned_digests_are_those_of_the_published_files(tmp_path: Path) -> None:
    folder = reference_dir()
    pinned = [file for file in FILES.values() if file.sha256]
    assert len(pinned) == 13
    for file in pinned:
        place = folder / file.name if file.script_sha256 else folder / "questions" / file.name
        assert file.is_at(place), file.name
    assert is_published(folder / "questions" / "tone.json")
    assert not is_published(folder / "README.md")


def faults(done: list[Collected]) -> dict[str, str]:
    return {item.name: item.fault for item in done if item.fault}


def collected(cache: Path) -> dict[str, str]:
    return faults(collect(cache, replace=True))


def test_servers_out_of_reach_are_tried_once_and_every_file_says_so(
    server: WebHost, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_SILENCE_S", 0.3)
    monkeypatch.setattr(published, "FILES", FILES)
    with WebHost().running() as gone:
        pass
    monkeypatch.setenv("HF_ENDPOINT", gone.endpoint)
    with silent_server() as (address, connections):
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", address)
        found = collected(cache)
        assert len(connections) <= 3, "to find out whether it is there, and to ask once"
    assert set(found) == set(FILES)
    for name, fault in found.items():
        why = "Connection refused" if FILES[name].origin == "hub" else "it does not answer"
        assert ": no connection to 127.0.0.1:" in fault
        assert f" ({why}); run " in fault
    assert list(cache.rglob("*")) == []


def test_nothing_is_asked_where_that_is_forbidden(
    server: WebHost, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as (address, connections):
        for variable in ("HF_ENDPOINT", "UGC_VIDEOCAP_RAW_ENDPOINT"):
            monkeypatch.setenv(variable, address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        found = collected(cache)
        assert connections == []
    assert len(found) == 6
    assert all("HF_HUB_OFFLINE forbids downloading it" in fault for fault in found.values())


def test_a_file_that_fails_does_not_stop_the_others(server: WebHost, cache: Path) -> None:
    server.add("/" + TONE.path, Answer(status=404))
    assert list(collected(cache)) == ["tone.json"]
    assert (cache / "BGM.json").read_bytes() == GITHUB["BGM.json"]
    assert (cache / PROMPT_FILE).read_text() == PROMPT


def test_questions_as_published_are_known_by_their_digest() -> None:
    folder = reference_dir() / "questions"
    found = {name: questions_of(spec, folder / spec.annotations) for name, spec in SPECS.items()}
    assert {name: published_questions(name) for name in SPECS} == {
        name: questions.sha256 for name, questions in found.items()
    }


def test_published_averages_are_the_means_of_their_columns() -> None:
    tables = [published.published_captions()[1], *(t.rows for t in published.published_elsewhere())]
    for rows in tables:
        for name, (*columns, average) in rows.items():
            # Columns are rounded before they are printed, some of them to a fifth of a point.
            assert abs(sum(columns) / 3 - average) < 0.25, name


def test_recorded_scores_are_known_by_their_digest() -> None:
    folder = reference_dir() / "scores"
    labels = {published.published_judge(path) for path in folder.iterdir()}
    assert labels == {"paper/gpt-4o-2024-08-06/76696f747fe3"}
    assert published.published_judge(Path(__file__)) is None
