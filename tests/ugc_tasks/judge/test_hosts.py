"""Azure, a gateway and ``vllm serve`` as the judge's endpoint, each by environment alone."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import judge_hosts
from tests.support.judge_server import Act, JudgeServer
from ugc_tasks.judge.judge import Judge, open_judge
from ugc_tasks.judge.settings import JudgeConfigError, JudgeSettings
from ugc_tasks.judge.types import JudgeItem

KEY = "azure-canary-4cb1d8f0a7e2"
TOKEN = "eyJ-canary-token-0123456789"
MODEL = "gpt-4o-2024-08-06"
ITEMS = [JudgeItem(f"clip-{n}", f"A dog runs, take {n}.", "A dog runs.") for n in range(3)]


def opened(cache: Path, **environ: str) -> Judge:
    return open_judge({"UGC_JUDGE_PROFILE": "rubric", **environ}, home=None, cache=cache)


def of_azure(server: JudgeServer, **changed: str) -> dict[str, str]:
    return {
        "AZURE_OPENAI_ENDPOINT": f"{server.address}/",
        "AZURE_OPENAI_API_KEY": KEY,
        "OPENAI_API_VERSION": "2024-10-21",
        "UGC_JUDGE_MODEL": "my-judge",
        **changed,
    }


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer(judge_hosts.azure({"my-judge": MODEL}, key=KEY)) as running:
        yield running


# ---- Azure ----


def test_a_deployment_of_azure_is_the_model_that_answers_there(
    server: JudgeServer, tmp_path: Path
) -> None:
    with opened(tmp_path, **of_azure(server)) as judge:
        judgments = judge.judge_many(ITEMS, progress=False)
        facts = judge.describe()
    assert [each.failure for each in judgments] == [None] * 3
    assert {each.model for each in judgments} == {MODEL}
    place = f"{server.address.removeprefix('http://')}/openai/deployments/my-judge"
    assert (facts["model"], facts["endpoint"]) == (MODEL, place)
    assert facts["label"].startswith(f"rubric/{MODEL}/")
    assert facts["label"].endswith(f"@{place}")
    assert facts["price"] is not None
    assert {asked.path for asked in server.requests} == {
        "/openai/deployments/my-judge/chat/completions?api-version=2024-10-21"
    }
    assert all("authorization" not in asked.headers for asked in server.requests)
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()


def test_a_deployment_that_was_given_another_model_is_another_judge(
    server: JudgeServer, tmp_path: Path
) -> None:
    for model, asked in ((MODEL, 3), (MODEL, 0), ("gpt-4.1-2025-04-14", 3)):
        server.script = judge_hosts.azure({"my-judge": model}, key=KEY)
        before = len(server.requests)
        with opened(tmp_path, **of_azure(server)) as judge:
            judge.judge_many(ITEMS, progress=False)
            assert f"/{model}/" in judge.label
        assert len(server.requests) - before == asked + 1, "and once which model it is"


def test_what_is_on_disk_is_there_without_the_endpoint(tmp_path: Path) -> None:
    with JudgeServer(judge_hosts.azure({"my-judge": MODEL}, key=KEY)) as server:
        environ = of_azure(server)
        with opened(tmp_path, **environ) as judge:
            judge.judge_many(ITEMS, progress=False)
    with opened(tmp_path, **environ) as judge:
        judgments = judge.judge_many(ITEMS, progress=False)
    assert all(each.stored and each.scores for each in judgments)


def test_a_token_of_entra_is_sent_as_one(tmp_path: Path, server: JudgeServer) -> None:
    server.script = judge_hosts.azure({"my-judge": MODEL}, token=TOKEN)
    environ = of_azure(server, AZURE_OPENAI_AD_TOKEN=TOKEN)
    with opened(tmp_path, **environ) as judge:
        assert judge.judge_many(ITEMS[:1], progress=False)[0].scores
    assert {asked.authorization for asked in server.requests} == {f"Bearer {TOKEN}"}
    assert all(KEY not in str(asked.headers) for asked in server.requests)


def test_an_older_version_of_the_api_is_asked_without_what_it_does_not_know(
    tmp_path: Path, server: JudgeServer
) -> None:
    server.script = judge_hosts.azure(
        {"my-judge": MODEL}, key=KEY, version="2024-02-01", unknown=("max_completion_tokens",)
    )
    with opened(tmp_path, **of_azure(server, OPENAI_API_VERSION="2024-02-01")) as judge:
        assert judge.judge_many(ITEMS[:1], progress=False)[0].scores


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"UGC_JUDGE_MODEL": "gpt-4o"}, "The API deployment for this resource does not exist"),
        ({"OPENAI_API_VERSION": "2020-01-01"}, "Resource not found"),
        ({"AZURE_OPENAI_API_KEY": f"not-{KEY}"}, "AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT"),
        ({"AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9"}, "nothing listens at 127.0.0.1:9; check"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_at_azure_is_said_before_anything_is_judged(
    server: JudgeServer, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(JudgeConfigError) as caught:
        opened(tmp_path, **of_azure(server, **changed))
    message = str(caught.value)
    assert said in message
    assert "AZURE_OPENAI_ENDPOINT" in message
    assert " OPENAI_BASE_URL" not in message
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in str(error) + repr(vars(error))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "it does not serve this judge; check AZURE_OPENAI_ENDPOINT and UGC_JUDGE_MODEL"),
        (401, "check AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT"),
        (307, "correct AZURE_OPENAI_ENDPOINT"),
        (200, "check AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_what_goes_wrong_later_names_what_azure_is_set_by(
    server: JudgeServer, tmp_path: Path, status: int, said: str
) -> None:
    environ = of_azure(server, UGC_JUDGE_TODAY="2027-02-01")
    with opened(tmp_path, **environ) as judge:
        error = {"error": {"code": 401 if status == 200 else "x", "message": "No such thing."}}
        body = json.dumps(error).encode()
        server.script = lambda _: Act(status=status, body=body)
        failure = str(judge.judge_many(ITEMS[:1], progress=False)[0].failure)
    assert failure.endswith(said)
    assert " OPENAI_BASE_URL" not in failure


def test_azures_filter_is_one_clips_failure(server: JudgeServer, tmp_path: Path) -> None:
    good = server.script
    assert callable(good)
    server.script = lambda a: judge_hosts.moderated() if "take 1" in a.user else good(a)
    with opened(tmp_path, **of_azure(server)) as judge:
        failures = [each.failure for each in judge.judge_many(ITEMS, progress=False)]
    assert failures[0] is failures[2] is None
    assert "content management" in str(failures[1])


CACHE = Path("cache")
AZURE = {
    "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/",
    "AZURE_OPENAI_API_KEY": KEY,
    "OPENAI_API_VERSION": "2024-10-21",
    "UGC_JUDGE_MODEL": "my-judge",
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"OPENAI_API_VERSION": ""}, "needs OPENAI_API_VERSION: set it"),
        ({"AZURE_OPENAI_API_KEY": ""}, "needs AZURE_OPENAI_API_KEY: set it"),
        ({"AZURE_OPENAI_ENDPOINT": ""}, "needs AZURE_OPENAI_ENDPOINT: set it"),
        ({"AZURE_OPENAI_ENDPOINT": "mine"}, "AZURE_OPENAI_ENDPOINT must be the http or https"),
        ({"UGC_JUDGE_MODEL": ""}, "UGC_JUDGE_MODEL must be the name of the deployment"),
        ({"UGC_JUDGE_MODEL": "a/b"}, "UGC_JUDGE_MODEL must be the name of the deployment"),
        ({"UGC_JUDGE_MODE": "batch"}, "UGC_JUDGE_MODE=batch is for OpenAI's own API"),
        ({"OPENAI_API_KEY": "sk-0123456789"}, "OPENAI_API_TYPE=openai or azure"),
        ({"OPENAI_API_TYPE": "bedrock"}, "OPENAI_API_TYPE must be openai or azure"),
        ({"AZURE_OPENAI_API_KEY": "two words"}, "AZURE_OPENAI_API_KEY has spaces"),
        ({"UGC_JUDGE_STORE": f"/{KEY}"}, "which belongs in AZURE_OPENAI_API_KEY"),
    ],
    ids=str,
)
def test_a_setting_of_azure_that_cannot_be_used_is_named(
    changed: dict[str, str], said: str
) -> None:
    with pytest.raises(JudgeConfigError) as caught:
        JudgeSettings.from_env({**AZURE, **changed}, cache=CACHE)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "azure"),
    [
        ({}, True),
        ({"OPENAI_API_KEY": "sk-0123456789", "OPENAI_API_TYPE": "azure"}, True),
        ({"OPENAI_API_KEY": "sk-0123456789", "OPENAI_API_TYPE": "openai"}, False),
        ({"OPENAI_API_KEY": "sk-0123456789", "OPENAI_BASE_URL": "http://host/v1"}, False),
        ({"OPENAI_API_KEY": "sk-0123456789", "AZURE_OPENAI_API_KEY": ""}, False),
    ],
    ids=str,
)
def test_the_variables_say_whose_api_it_is_as_they_do_to_the_library(
    more: dict[str, str], azure: bool
) -> None:
    settings = JudgeSettings.from_env({**AZURE, **more}, cache=CACHE)
    assert (settings.azure is not None) == azure
    place = "mine.openai.azure.com/openai/deployments/my-judge"
    assert (settings.endpoint == place) == azure
    assert settings.api_key == (KEY if azure else "sk-0123456789")


def test_a_dry_run_at_azure_needs_no_key(tmp_path: Path) -> None:
    environ = {**AZURE, "AZURE_OPENAI_API_KEY": "", "UGC_JUDGE_PROFILE": "rubric"}
    with open_judge(environ, home=None, cache=tmp_path, command="dry-run") as judge:
        estimate = judge.estimate(ITEMS)
    assert estimate is not None
    assert estimate.missing == 3


# ---- a gateway ----

NAME = "openai/gpt-4o-2024-08-06"


def of_gateway(server: JudgeServer, **changed: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{server.address}/api/v1",
        "OPENAI_API_KEY": f"sk-or-v1-{KEY}",
        "UGC_JUDGE_MODEL": NAME,
        "UGC_JUDGE_DEADLINE": "5",
        **changed,
    }


def test_a_gateway_is_asked_by_its_names_with_ones_own_headers(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = "HTTP-Referer: https://example.org\nX-Title: captions"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", headers)  # the library's own means
    server.script = [judge_hosts.gateway(NAME, spaces=5)]
    environ = of_gateway(server, OPENAI_CUSTOM_HEADERS=headers)
    with opened(tmp_path, **environ) as judge:
        judgments = judge.judge_many(ITEMS, progress=False)
        label = judge.label
    assert all(each.scores and each.model == NAME for each in judgments)
    place = f"{server.address.removeprefix('http://')}/api/v1"
    assert label.startswith(f"rubric/{NAME}/")
    assert label.endswith(f"@{place}")
    for asked in server.requests:
        assert asked.path == "/api/v1/chat/completions"
        assert asked.body["model"] == NAME
        assert asked.headers["x-title"] == "captions"
        assert asked.headers["http-referer"] == "https://example.org"
        assert asked.authorization == f"Bearer sk-or-v1-{KEY}"


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (judge_hosts.gateway_error(402, "Insufficient credits. Add more."), "add credit"),
        (judge_hosts.gateway_error(401, "No auth credentials found"), "does not accept the key"),
        (
            judge_hosts.gateway_error(404, "No endpoints found for openai/gpt-5o."),
            "check OPENAI_BASE_URL and UGC_JUDGE_MODEL",
        ),
        (
            judge_hosts.gateway_error(400, f"{NAME} is not a valid model ID"),
            "is not a valid model ID",
        ),
        (
            judge_hosts.gateway_error(
                502, "Provider returned error", status=200, raw="upstream is down"
            ),
            "upstream is down",
        ),
        (
            judge_hosts.gateway_error(429, "Provider returned error", raw="rate-limited upstream"),
            "rate-limited upstream",
        ),
    ],
    ids=["credit", "key", "model", "name", "provider", "limit"],
)
def test_a_gateways_errors_come_in_its_words(
    server: JudgeServer, tmp_path: Path, act: Act, said: str
) -> None:
    server.script = [act]
    with opened(tmp_path, **of_gateway(server)) as judge:
        judgments = judge.judge_many(ITEMS[:1], progress=False)
    assert said in str(judgments[0].failure)
    assert KEY not in str(judgments[0])


def test_a_provider_that_fails_once_behind_a_gateway_is_asked_again(
    server: JudgeServer, tmp_path: Path
) -> None:
    bad = judge_hosts.gateway_error(502, "Provider returned error", status=200, raw="down")
    server.script = [bad, judge_hosts.gateway(NAME)]
    with opened(tmp_path, **of_gateway(server)) as judge:
        assert judge.judge_many(ITEMS[:1], progress=False)[0].scores


# ---- vllm serve ----


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            judge_hosts.vllm_error(404, "The model `tiny` does not exist.", param="model"),
            "does not exist",
        ),
        (
            judge_hosts.vllm_error(
                400,
                "This model's maximum context length is 512 tokens. However, you requested 900.",
                "BadRequestError",
                "input_tokens",
            ),
            "maximum context length",
        ),
        (Act(401, b'{"error": "Unauthorized"}'), "does not accept the key"),
    ],
    ids=["model", "length", "key"],
)
def test_the_errors_of_vllm_serve_come_in_its_words(
    server: JudgeServer, tmp_path: Path, act: Act, said: str
) -> None:
    """A real one as the judge: ``test_vllm_serve.py``."""
    server.script = [act]
    environ = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "none"}
    with opened(tmp_path, UGC_JUDGE_MODEL="tiny", **environ) as judge:
        judgments = judge.judge_many(ITEMS[:1], progress=False)
    assert said in str(judgments[0].failure)


# ---- addresses that are not reached ----


@contextmanager
def full() -> Iterator[str]:
    """A host that drops packets: it has more connections to accept than it keeps."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        place = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(place)
        time.sleep(0.2)
        yield f"127.0.0.1:{place[1]}"
        for each in waiting:
            each.close()


def test_a_host_that_drops_packets_is_given_up_in_seconds(tmp_path: Path) -> None:
    with full() as place:
        environ = {"OPENAI_BASE_URL": f"http://{place}/v1", "OPENAI_API_KEY": "none"}
        with opened(tmp_path, **environ) as judge:
            many = [JudgeItem(f"clip-{n}", f"Take {n}.", "A dog.") for n in range(60)]
            started = time.monotonic()
            judgments = judge.judge_many(many, progress=False)
            seconds = time.monotonic() - started
    (said,) = {each.failure for each in judgments}
    assert said == f"no connection to {place} within 5 s; check OPENAI_BASE_URL"
    assert seconds < 60, "some ten where the machine is idle; it was 250"
