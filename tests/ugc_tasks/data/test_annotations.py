"""Annotation files come from the user's folder, or once from the Hub by pinned revision.

The Hub's own client asks a loopback Hub, in a process of its own: it reads its environment once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.hub_server import HubServer
from tests.support.loopback import silent_server
from ugc_tasks.data.annotations import REPO, REVISION

NAME = "final_caption_qa.json"
CONTENT = b'{"question": "What happens?", "samples": []}'
COMMIT = REVISION + "5" * (40 - len(REVISION))
ASK = f"""
import os, time
slept = []
time.sleep = slept.append  # the client's waits between tries add up to 23 s
from ugc_tasks.data.annotations import annotation
from ugc_tasks.common.files import DataError
from ugc_tasks.data.home import Home
try:
    found = annotation({NAME!r}, Home.from_env(os.environ))
except DataError as error:
    print(f"DataError {{error}}" + f" [slept {{sum(slept)}} s]" * bool(slept))
else:
    print(found.source, found.path)
"""
Ask = Callable[..., tuple[str, str]]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(REPO, COMMIT, {NAME: CONTENT}).running() as running:
        yield running


@pytest.fixture
def ask(hub: HubServer, tmp_path: Path) -> Ask:
    """Ask for the file in a new process; (where from, path) or ("DataError", message)."""

    def ask_once(**variables: str) -> tuple[str, str]:
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "UGC_"))}
        mine |= {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.endpoint, "NO_PROXY": "*"}
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            env=mine | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        first, _, rest = done.stdout.rstrip("\n").partition(" ")
        return first, rest

    return ask_once


def test_the_users_folder_comes_first_and_nothing_is_asked(
    hub: HubServer, ask: Ask, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"mine")
    assert ask(UGC_VIDEOCAP_HOME=str(tmp_path)) == ("local", str(tmp_path / NAME))
    assert not hub.asked


def test_a_folder_without_the_file_is_completed_from_the_hub(ask: Ask, tmp_path: Path) -> None:
    source, path = ask(UGC_VIDEOCAP_HOME=str(tmp_path))
    assert source == f"{REPO}@{REVISION}"
    assert Path(path).read_bytes() == CONTENT


@pytest.mark.parametrize("knows_short", [True, False], ids=["short revision", "full hash only"])
def test_a_file_is_fetched_by_the_pinned_commit_once(
    hub: HubServer, ask: Ask, knows_short: bool
) -> None:
    hub.knows_short = knows_short
    source, path = ask(HF_TOKEN="hf_loopback")
    assert source == f"{REPO}@{REVISION}"
    assert Path(path).read_bytes() == CONTENT
    assert Path(path).parent.name == COMMIT
    revision = REVISION if knows_short else COMMIT
    assert hub.asked[-1] == f"GET /datasets/{REPO}/resolve/{revision}/{NAME}"
    assert "Bearer hf_loopback" in hub.tokens

    hub.asked.clear()
    assert ask() == (source, path), "a commit does not change: nothing is asked again"
    assert ask(HF_HUB_OFFLINE="1") == (source, path)
    assert not hub.asked


def test_a_file_of_another_commit_in_the_cache_is_not_taken(hub: HubServer, ask: Ask) -> None:
    _, path = ask()
    other = Path(path).parent.with_name("0" * 40)
    Path(path).parent.rename(other)
    assert ask(HF_HUB_OFFLINE="1")[0] == "DataError"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"files": {}}, "404"),
        ({"repo": "somebody/else"}, "401|404"),
        ({"commit": "a" * 40}, f"it has no commit {REVISION}"),
        ({"status": 500}, "error happened while trying to locate the file"),
    ],
    ids=["no such file", "no such dataset", "no such commit", "out of order"],
)
def test_a_failure_is_one_sentence_with_a_way_out(
    hub: HubServer, ask: Ask, fault: dict[str, object], said: str
) -> None:
    for name, value in fault.items():
        setattr(hub, name, value)
    kind, message = ask()
    assert kind == "DataError"
    assert "\n" not in message
    assert re.match(rf"{NAME}: the dataset {REPO} could not be asked for it: .*({said})", message)
    assert (
        "; connect to the Hub, or put the file into a folder and set UGC_VIDEOCAP_HOME" in message
    )


def test_an_empty_folder_of_the_users_is_named_in_the_failure(
    hub: HubServer, ask: Ask, tmp_path: Path
) -> None:
    hub.files = {}
    kind, message = ask(UGC_VIDEOCAP_HOME=str(tmp_path))
    assert kind == "DataError"
    assert f"it is not in UGC_VIDEOCAP_HOME={tmp_path}, and the dataset" in message
    assert "; connect to the Hub, or put the file there" in message


WAY_OUT = "; connect to the Hub, or put the file into a folder and set UGC_VIDEOCAP_HOME to it"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            "no connection to 127.0.0.1:9 (Connection refused)",
        ),
        ({"HF_ENDPOINT": "http://nothing.invalid"}, "no connection to nothing.invalid ("),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids downloading it"),
        (
            {"HTTP_PROXY": "http://user:hunter2@127.0.0.1:9", "NO_PROXY": ""},
            " (the proxy of HTTP_PROXY: Connection refused)",
        ),
        ({"HTTP_PROXY": "socks9://127.0.0.1", "NO_PROXY": ""}, "socks9"),
    ],
    ids=["nobody listens", "no such host", "offline", "no proxy there", "no such proxy"],
)
def test_without_a_network_it_is_said_at_once_what_to_do(
    hub: HubServer, ask: Ask, variables: dict[str, str], said: str
) -> None:
    kind, message = ask(**variables)
    assert kind == "DataError"
    assert message.startswith(f"{NAME}: the dataset {REPO} could not be asked for it: ")
    assert said in message
    assert message.endswith(WAY_OUT), "and nothing was waited for"
    assert "\n" not in message
    assert "hunter2" not in message
    assert not hub.asked


def test_a_hub_that_does_not_answer_is_asked_once(ask: Ask) -> None:
    with silent_server() as (address, connections):
        kind, message = ask(HF_ENDPOINT=address, HF_HUB_ETAG_TIMEOUT="1")
        assert kind == "DataError"
        place = address.removeprefix("http://")
        assert f"no connection to {place} (it does not answer){WAY_OUT}" in message
        # To find out whether it is there, to ask, and one of the client's own (it reports itself).
        assert len(connections) <= 3
