"""``prepare`` and ``status`` as a user runs them; one host is the Hub, GitHub and has clips."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import published
from tests.support.published import GITHUB, HUB, IDS, PROMPT
from tests.support.web_host import MP4, Answer, WebHost
from ugc_tasks.cli.main import main
from ugc_tasks.data import prepare
from ugc_tasks.data.clips import Fetched
from ugc_tasks.data.download import ANY_HOST, TIKTOK
from ugc_tasks.data.home import Home
from ugc_tasks.data.published import FILES, annotation

MAIN = """
import sys
import pytest
from tests.support import published
from ugc_tasks.cli.main import main
published.install(pytest.MonkeyPatch())
sys.exit(main())
"""
Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run_fresh(
    tmp_path: Path,
    host: WebHost,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run for a user who has nothing yet: (exit code, what is printed, stderr)."""
    for path, content in published.pages().items():
        host.add(path, Answer(content))
    for name in [name for name in os.environ if name.startswith(("HF_", "UGC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", host.endpoint)
    monkeypatch.setenv("UGC_VIDEOCAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", host.endpoint)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    published.install(monkeypatch)

    def call(*arguments: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        printed, said = capsys.readouterr()
        return code, json.loads(printed) if "--json" in arguments and printed else printed, said

    return call


@pytest.fixture
def run(tmp_path: Path, run_fresh: Run) -> Run:
    """Run with all files but the clips in the cache folder already."""
    cache = tmp_path / "cache"
    (cache / "prompts").mkdir(parents=True)
    (cache / "prompts" / "judge.txt").write_text(PROMPT)
    for name, content in (HUB | GITHUB).items():
        (cache / name).write_bytes(content)
    return run_fresh


@pytest.fixture
def links(tmp_path: Path, host: WebHost, clip_bytes: bytes) -> Path:
    """A user's list of links to a clip of each id."""
    lines = [f"{i},{host.add(f'/clips/{i}', Answer(clip_bytes, headers=MP4))}" for i in IDS]
    path = tmp_path / "links.csv"
    path.write_text("\n".join(["video_id,url", *lines]))
    return path


def test_everything_comes_is_found_without_a_variable_and_is_not_asked_for_again(
    run_fresh: Run, host: WebHost, links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, report, said = run_fresh("prepare", "--map", links, "--json")
    assert code == 0, said
    cache = tmp_path / "cache"
    assert report["complete"] is True
    assert (report["home"], report["videos"]) == (str(cache), str(cache / "videos"))
    assert report["coverage"] == {
        "wanted": 5,
        "present": 5,
        "gone": 0,
        "broken": 0,
        "missing": 0,
    }
    assert report["tasks"]["ugc_videocap"] == {"wanted": 4, "present": 4, "complete": True}
    assert report["links"] == {
        "id_column": "video_id",
        "link_column": "url",
        "links": 5,
        "conflicts": [],
    }
    assert report["downloaded"] == 5
    for name, content in (HUB | GITHUB).items():
        assert (cache / name).read_bytes() == content
    assert (cache / "prompts" / "judge.txt").read_text() == PROMPT

    host.asked.clear()
    code, again, _ = run_fresh("prepare", "--map", links, "--json")
    assert (code, again["coverage"]) == (0, report["coverage"])
    home = Home.from_env(os.environ)
    for name in ("tone.json", "BGM.json"):
        assert annotation(name, home).path == cache / name
    assert host.asked == []


def test_a_file_with_another_digest_is_not_kept_and_the_others_are(
    run_fresh: Run, host: WebHost, tmp_path: Path
) -> None:
    right = {name: host.pages["/" + FILES[name].path] for name in ("BGM.json", "tone.json")}
    host.pages |= {"/" + FILES[name].path: [Answer(b"[]")] for name in right}
    code, report, _ = run_fresh("prepare", "--json")
    assert code == 3
    faults = {file["name"]: file["fault"] for file in report["files"] if file["fault"]}
    assert set(faults) == set(right)
    for name, fault in faults.items():
        assert fault.startswith(f"{name} could not be downloaded from ")
        assert "what came is another file (its SHA-256 is not" in fault
    assert not {path.name for path in (tmp_path / "cache").iterdir()} & set(right)
    assert "ugc_videocap_tone" not in report["tasks"]

    host.pages |= {"/" + FILES[name].path: answers for name, answers in right.items()}
    report = run_fresh("prepare", "--json")[1]
    assert [file["fault"] for file in report["files"]] == [None] * 6


def test_no_network_and_nothing_here_is_one_sentence(
    run_fresh: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value, reason in [
        ("HF_ENDPOINT", "http://nothing.invalid", "no connection to nothing.invalid ("),
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE forbids downloading it"),
    ]:
        monkeypatch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", "http://nothing.invalid")
        monkeypatch.setenv(variable, value)
        code, printed, said = run_fresh("prepare")
        assert (code, printed) == (2, "")
        assert said.startswith(
            "ugc-videocap: no annotation file is there: final_caption_qa.json could not be "
            f"downloaded from openinterx/UGC-VideoCap@ed5c374: {reason}"
        )
        assert said.endswith(f", or put the file into {tmp_path / 'cache'}\n")
        assert said.count("\n") == 1


def test_clips_are_not_asked_for_where_no_site_is_in_reach(
    run: Run, links: Path, host: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ugc_tasks.data.clips._PAUSES", ())
    content = links.read_text()
    links.write_text(content.replace(host.endpoint, "http://nothing.invalid"))
    code, report, _ = run("prepare", "--map", links, "--json")
    assert (code, report["downloaded"], report["coverage"]["missing"]) == (3, 0, 5)
    (note,) = report["notes"]
    assert note.startswith("5 clips were not downloaded: no connection to nothing.invalid (")
    assert not (tmp_path / "cache" / "videos").exists(), "nothing was tried"
    # One site of several is in reach.
    links.write_text(content.replace(host.endpoint, "http://nothing.invalid", 1))
    code, report, _ = run("prepare", "--map", links, "--json")
    assert (report["downloaded"], report["coverage"]["missing"]) == (4, 1)


def test_a_run_that_is_interrupted_goes_on_where_it_stopped(
    run: Run, host: WebHost, links: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "cache" / "videos"
    host.add(f"/clips/{IDS[2]}", Answer(b"x" * 1000, headers=MP4, endless=True))
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "prepare", "--map", str(links), "--workers", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while f"/clips/{IDS[2]}" not in host.asked:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert said == "stopped: run the same command again to go on\n"
    assert {path.name for path in videos.iterdir()} == {f"{i}.mp4" for i in IDS[:2]}

    host.pages[f"/clips/{IDS[2]}"] = list(host.pages[f"/clips/{IDS[0]}"])
    host.asked.clear()
    code, report, _ = run("prepare", "--map", links, "--json")
    assert (code, report["downloaded"]) == (0, 3)
    assert not {f"/clips/{i}" for i in IDS[:2]} & set(host.asked)


def test_a_dead_link_is_asked_again_only_if_asked_to_or_changed(
    run: Run, host: WebHost, links: Path, clip_bytes: bytes
) -> None:
    page = f"/clips/{IDS[0]}"
    alive = host.pages[page]
    host.pages[page] = [Answer(status=404)]
    code, report, _ = run("prepare", "--map", links, "--json")
    assert code == 3
    assert report["coverage"]["gone"] == 1
    assert report["clips"] == {
        IDS[0]: {"state": "gone", "reason": "the server answered with status 404"}
    }
    assert report["tasks"]["ugc_videocap"] == {"wanted": 4, "present": 3, "complete": False}

    host.asked.clear()
    assert run("prepare", "--map", links)[0] == 3
    assert run("status", "--json")[1]["coverage"] == report["coverage"]
    assert host.asked == []

    host.pages[page] = alive
    assert run("prepare", "--map", links, "--retry")[0] == 0

    host.pages[page] = [Answer(status=404)]
    Path(report["videos"], f"{IDS[0]}.mp4").unlink()
    assert run("prepare", "--map", links)[0] == 3
    elsewhere = host.add("/elsewhere.mp4", Answer(clip_bytes, headers=MP4))
    links.write_text(links.read_text().replace(host.endpoint + page, elsewhere))
    assert run("prepare", "--map", links)[0] == 0


def test_a_limit_takes_the_first_clips(run: Run, links: Path, tmp_path: Path) -> None:
    code, report, _ = run("prepare", "--map", links, "--limit", 2, "--json")
    assert (code, report["coverage"]["wanted"]) == (0, 2)
    assert {p.stem for p in (tmp_path / "cache" / "videos").iterdir()} == set(IDS[:2])
    assert report["tasks"]["ugc_videocap_tone"]["complete"] is True
    assert report["tasks"]["ugc_videocap"] == {"wanted": 4, "present": 2, "complete": False}


def test_links_of_the_dataset_without_ids_are_not_guessed(run: Run, host: WebHost) -> None:
    code, text, _ = run("prepare")
    assert code == 3
    assert "meta.parquet does not say which link is which clip's" in text
    assert "--map takes a CSV file whose first line names the columns video_id and url" in text
    assert "5 missing" in text
    assert host.asked == []


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was to be downloaded, and how, in place of downloading it."""
    asked: list[dict[str, Any]] = []

    def fetch_clips(links: dict[str, str], *_: object, **how: Any) -> Fetched:
        asked.append({"links": links, **how})
        failed = dict.fromkeys(list(links)[:1], "the server answered with status 503")
        return Fetched(failed=failed, gave_up="20 downloads in a row failed")

    monkeypatch.setattr(prepare, "fetch_clips", fetch_clips)
    monkeypatch.setattr(prepare, "unreachable", lambda hosts: {})
    return asked


def test_links_of_the_dataset_are_followed_to_tiktok_alone_and_a_users_anywhere(
    *, run: Run, downloads: list[dict[str, Any]], links: Path, tmp_path: Path
) -> None:
    tiktok = {
        i: f"https://www.tiktok.com/@a/video/747917977018255287{n}" for n, i in enumerate(IDS)
    }
    rows: list[dict[str, object]] = [{"video": i, "url": link} for i, link in tiktok.items()]
    (tmp_path / "cache" / "meta.parquet").write_bytes(published.table(rows))
    run("prepare")
    run("prepare", "--map", links)
    assert [each["extractors"] for each in downloads] == [TIKTOK, ANY_HOST]
    assert downloads[0]["links"] == tiktok


def test_of_each_clip_that_did_not_come_it_is_said_why(
    *, run: Run, downloads: list[dict[str, Any]], tmp_path: Path
) -> None:
    address = "https://www.tiktok.com/@a/video/747917977018255287"
    rows: list[dict[str, object]] = [
        {"video": IDS[0], "url": f"{address}0"},
        {"video": IDS[1], "url": f"{address}1"},
        {"video": IDS[2], "url": f"{address}2"},
        {"video": IDS[2], "url": f"{address}3"},
    ]
    (tmp_path / "cache" / "meta.parquet").write_bytes(published.table(rows))
    code, report, _ = run("prepare", "--json")
    assert code == 3
    assert {i: clip["reason"] for i, clip in report["clips"].items()} == {
        IDS[0]: "the server answered with status 503",
        IDS[1]: "not asked for: the downloads were given up",
        IDS[2]: "it has several different links",
        IDS[3]: "no link is known",
        IDS[4]: "no link is known",
    }
    assert report["links"]["conflicts"] == [IDS[2]]
    assert report["notes"] == ["the downloads were given up: 20 downloads in a row failed"]


def test_an_archive_that_was_not_taken_whole_is_a_partial_result_though_every_clip_is_there(
    run: Run, clip_bytes: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "clips"
    with zipfile.ZipFile(path, "w") as archive:
        for video_id in IDS:
            archive.writestr(f"{video_id}.mp4", clip_bytes)
    assert run("prepare", "--from-archive", path)[0] == 0
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../other.mp4", clip_bytes)
    assert run("prepare", "--from-archive", path)[0] == 3
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("other.txt"))
    assert run("prepare", "--from-archive", path)[0] == 0
    path.write_bytes(path.read_bytes()[:512])
    code, report, _ = run("prepare", "--from-archive", path, "--json")
    assert (code, report["coverage"]["present"]) == (3, 5)
    assert "it ends without an end mark" in report["archive"]["cut"]


def test_clips_of_an_archive_take_the_place_of_downloads(
    run: Run, host: WebHost, clip_bytes: bytes, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for video_id in IDS[:4]:
            archive.writestr(f"videos/{video_id}.mp4", clip_bytes)
        archive.writestr(f"../{IDS[4]}.mp4", clip_bytes)
    code, report, _ = run("prepare", "--from-archive", tmp_path / "clips.zip", "--json")
    assert code == 3
    assert (report["archive"]["taken"], report["archive"]["refused_count"]) == (4, 1)
    assert report["archive"]["refused"][0]["name"] == f"../{IDS[4]}.mp4"
    assert report["coverage"]["present"] == 4
    assert host.asked == []


def test_an_archive_of_other_clips_says_what_it_has_and_what_is_wanted(
    run: Run, clip_bytes: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "clips.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("clips/video_0001.mp4", clip_bytes)
        archive.writestr("clips/video_0002.mp4", clip_bytes)
    code, report, _ = run("prepare", "--from-archive", path, "--json")
    assert code == 3
    assert report["notes"] == [
        f"{path}: no file in it is a clip of this benchmark: it has for example video_0001.mp4, "
        f"and wanted is for example {IDS[0]}.mp4"
    ]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"clips/{IDS[1].upper()}.MP4", clip_bytes)
    for _ in range(2):
        assert run("prepare", "--from-archive", path, "--json")[1]["notes"] == []


def test_a_clip_in_upper_case_counts_as_there(run: Run, tmp_path: Path, clip_bytes: bytes) -> None:
    videos = tmp_path / "own"
    videos.mkdir()
    (videos / f"{IDS[1]}.MP4").write_bytes(clip_bytes)
    assert run("status", "--videos", videos, "--json")[1]["coverage"]["present"] == 1


def test_clips_that_came_before_show_whether_the_site_still_answers(
    run: Run, host: WebHost, links: Path, tmp_path: Path
) -> None:
    assert run("prepare", "--map", links, "--limit", 3)[0] == 0
    for video_id in IDS[3:]:
        host.add(f"/clips/{video_id}", Answer(status=404))
    alive = {f"/clips/{i}": host.pages[f"/clips/{i}"] for i in IDS[:3]}
    host.pages |= {page: [Answer(status=404)] for page in alive}  # so a ban looks
    code, report, _ = run("prepare", "--map", links, "--json")
    assert (code, report["coverage"]["gone"], report["coverage"]["missing"]) == (3, 0, 2)
    host.pages |= alive
    code, report, _ = run("prepare", "--map", links, "--json")
    assert (code, report["coverage"]["gone"], report["coverage"]["missing"]) == (3, 2, 0)


def test_lists_of_links_are_not_missed_where_the_clips_are_there(
    run: Run, links: Path, tmp_path: Path
) -> None:
    assert run("prepare", "--map", links)[0] == 0
    (tmp_path / "cache" / "meta.parquet").unlink()
    assert run("status")[0] == 0
    (tmp_path / "cache" / "tone.json").unlink()
    code, text, _ = run("status")
    assert code == 3
    assert "tone.json is absent: run `ugc-videocap prepare`" in text


def test_a_broken_file_counts_as_broken_and_is_replaced(
    run: Run, links: Path, tmp_path: Path, clip_bytes: bytes
) -> None:
    videos = tmp_path / "own"
    videos.mkdir()
    (videos / f"{IDS[1]}.mp4").write_bytes(clip_bytes[:5000])
    _, report, _ = run("status", "--videos", videos, "--json")
    assert report["clips"][IDS[1]]["state"] == "broken"
    assert report["clips"][IDS[1]]["reason"].startswith(f"{IDS[1]}.mp4: it is cut short")
    assert (videos / f"{IDS[1]}.mp4").read_bytes() == clip_bytes[:5000], "status changes nothing"
    code, text, _ = run("prepare", "--videos", videos, "--map", links)
    assert code == 0
    assert (videos / f"{IDS[1]}.mp4").read_bytes() == clip_bytes
    assert f"videos  {videos}  (UGC_VIDEOCAP_VIDEOS)\n" in text


def test_a_users_own_file_is_not_written_over_and_a_wrong_one_of_ours_is(
    run: Run, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name, content in (HUB | GITHUB).items():
        (home / name).write_bytes(content)
    own = HUB["tone.json"].replace(b"yes", b"no")
    (home / "tone.json").write_bytes(own)
    code, report, _ = run("prepare", "--home", home, "--json")
    assert code == 3
    (fault,) = [file["fault"] for file in report["files"] if file["fault"]]
    assert "tone.json is not the published file" in fault
    assert "move it away" in fault
    assert (home / "tone.json").read_bytes() == own
    assert report["videos"] == str(home / "videos")

    ours = tmp_path / "cache" / "BGM.json"
    ours.write_bytes(b"damaged")
    run("prepare")
    assert ours.read_bytes() == GITHUB["BGM.json"]


def test_a_prompt_of_the_users_own_is_not_written_over(
    run: Run, host: WebHost, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "prompts").mkdir(parents=True)
    (home / "prompts" / "judge.txt").write_text("Be kind.")
    for name, content in (HUB | GITHUB).items():
        (home / name).write_bytes(content)
    code, report, _ = run("prepare", "--home", home, "--json")
    assert code == 3
    (fault,) = [file["fault"] for file in report["files"] if file["fault"]]
    assert "judge.txt is not the published file" in fault
    assert (home / "prompts" / "judge.txt").read_text() == "Be kind."


def test_status_of_nothing_says_so_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, report, _ = run("status", "--home", tmp_path / "empty", "--json")
    assert (code, report["complete"], report["tasks"]) == (3, False, {})
    assert all("absent" in file["fault"] for file in report["files"])
    code, _, said = run("status", "--home", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere is not a folder" in said
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "0"),
        ("--workers", "many"),
        ("--map", "a", "--from-archive", "b"),
        ("--hoem", "x"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_bad_input(
    run: Run, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("prepare", *arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("option", ["--map", "--from-archive"])
def test_a_file_that_is_not_there_is_bad_input(run: Run, option: str, tmp_path: Path) -> None:
    code, printed, said = run("prepare", option, tmp_path / "absent")
    assert (code, printed) == (2, "")
    assert (
        said == f"ugc-videocap: {tmp_path / 'absent'}: cannot be read (No such file or directory)\n"
    )


@pytest.mark.parametrize("command", ["prepare", "status"])
def test_help_has_examples_and_exit_codes(
    run: Run, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(command, "--help")
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert f"  ugc-videocap {command}" in told
    assert "exit code: 0 all is there; 2 bad input; 3 something is missing" in told
