"""Settings come from the environment; a bad one is one sentence that names its variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from ugc_tasks.judge.protocol.profiles import QUESTIONS
from ugc_tasks.judge.settings import Command, JudgeConfigError, JudgeSettings

CANARY = "sk-canary-4cb1d8f0a7e2"
CACHE = Path("cache")


def test_the_defaults_are_the_published_judge_with_64_requests_at_once() -> None:
    settings = JudgeSettings.from_env({"OPENAI_API_KEY": CANARY}, cache=CACHE)
    assert (settings.profile, settings.model) == ("paper", None)
    assert (settings.concurrency, settings.attempts) == (64, 3)
    assert (settings.timeout, settings.deadline) == (60.0, 600.0)
    assert (settings.repeats, settings.interval) == (1, 0.5)
    assert settings.store == CACHE / "judgments.sqlite3"
    assert settings.endpoint == "api.openai.com/v1"


def test_every_variable_is_heard() -> None:
    settings = JudgeSettings.from_env(
        {
            "UGC_JUDGE_PROFILE": "rubric",
            "UGC_JUDGE_MODEL": "gpt-x",
            "UGC_JUDGE_CONCURRENCY": "4",
            "UGC_JUDGE_TIMEOUT": "1.5",
            "UGC_JUDGE_DEADLINE": "20",
            "UGC_JUDGE_ATTEMPTS": "1",
            "UGC_JUDGE_STORE": "there/mine.sqlite3",
            "OPENAI_BASE_URL": "http://LOCALHOST:8000/v1/",
            "OPENAI_API_KEY": f" {CANARY}\n",
            "UGC_JUDGE_BUDGET": "$2.50",
            "UGC_JUDGE_PRICES": "there/prices.toml",
            "UGC_JUDGE_MODE": "batch",
            "UGC_JUDGE_EARLY": "0",
            "UGC_JUDGE_REPEATS": "3",
            "UGC_JUDGE_INTERVAL": "0.25",
        },
        cache=CACHE,
    )
    assert settings == JudgeSettings(
        Path("there/mine.sqlite3"), "rubric", "gpt-x", 4, 1.5, 20.0, 1,
        "http://LOCALHOST:8000/v1/", CANARY, 2.5, Path("there/prices.toml"), True,
        False, 3, 0.25,
    )  # fmt: skip
    assert settings.endpoint == "localhost:8000/v1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UGC_JUDGE_CONCURRENCY", "0"),
        ("UGC_JUDGE_CONCURRENCY", "many"),
        ("UGC_JUDGE_CONCURRENCY", "²"),
        ("UGC_JUDGE_EARLY", "2"),
        ("UGC_JUDGE_CONCURRENCY", "9" * 5000),
        ("UGC_JUDGE_ATTEMPTS", "-1"),
        ("UGC_JUDGE_ATTEMPTS", "2.5"),
        ("UGC_JUDGE_TIMEOUT", "0"),
        ("UGC_JUDGE_TIMEOUT", "nan"),
        ("UGC_JUDGE_DEADLINE", "inf"),
        ("UGC_JUDGE_DEADLINE", "soon"),
        ("UGC_JUDGE_BUDGET", "0"),
        ("UGC_JUDGE_BUDGET", "-1"),
        ("UGC_JUDGE_BUDGET", "nan"),
        ("UGC_JUDGE_BUDGET", "inf"),
        ("UGC_JUDGE_BUDGET", "ten"),
        ("UGC_JUDGE_MODE", "bulk"),
        ("UGC_JUDGE_REPEATS", "0"),
        ("UGC_JUDGE_REPEATS", "65"),
        ("UGC_JUDGE_REPEATS", "2.5"),
        ("UGC_JUDGE_INTERVAL", "0"),
        ("UGC_JUDGE_INTERVAL", "nan"),
        ("UGC_JUDGE_INTERVAL", "101"),
        ("UGC_JUDGE_INTERVAL", "half a point"),
        ("OPENAI_BASE_URL", "api.openai.com/v1"),
        ("OPENAI_BASE_URL", "ftp://example.org"),
        ("OPENAI_BASE_URL", "http://host:port"),
        ("OPENAI_BASE_URL", f"https://user:{CANARY}@example.org/v1"),
        ("OPENAI_BASE_URL", f"https://example.org/v1?key={CANARY}"),
        ("OPENAI_BASE_URL", "http://two words/v1"),
        ("OPENAI_BASE_URL", "http://host\\v1"),
        ("OPENAI_BASE_URL", "http://host/v1\n/x"),
        ("OPENAI_BASE_URL", "http://hôst/v1"),
        ("OPENAI_BASE_URL", "http:///v1"),
        ("OPENAI_BASE_URL", "http://[::1/v1"),
        ("OPENAI_BASE_URL", "http://host:0/v1"),
        ("OPENAI_BASE_URL", "http://host/v1/chat/completions"),
        ("OPENAI_BASE_URL", "http://host/v1/chat/completions/"),
        ("OPENAI_BASE_URL", f"http://gateway/{CANARY}/v1"),
        ("UGC_JUDGE_MODEL", CANARY),
        ("UGC_JUDGE_STORE", f"stores/{CANARY}.sqlite3"),
        ("OPENAI_ORG_ID", "org-ü"),
        ("OPENAI_ORG_ID", "two words"),
        ("OPENAI_PROJECT_ID", "proj\nX-Evil: 1"),
        ("OPENAI_CUSTOM_HEADERS", "X-Ö: 1"),
        ("OPENAI_CUSTOM_HEADERS", "X-A: ö"),
        ("OPENAI_CUSTOM_HEADERS", "X-A: 1\n: 2"),
        ("OPENAI_CUSTOM_HEADERS", "X A: 1"),
        ("OPENAI_CUSTOM_HEADERS", "X-A: 1\rX-B"),
        ("OPENAI_API_KEY", f"{CANARY} {CANARY}"),
        ("OPENAI_API_KEY", f"Bearer {CANARY}"),
        ("OPENAI_API_KEY", f"{CANARY}\nX-Evil: 1"),
        ("OPENAI_API_KEY", f"{CANARY}é"),
    ],
)
def test_a_bad_value_is_named_in_one_sentence_that_shows_no_key(name: str, value: str) -> None:
    with pytest.raises(JudgeConfigError) as caught:
        JudgeSettings.from_env({"OPENAI_API_KEY": CANARY, name: value}, cache=CACHE)
    said = str(caught.value)
    assert name in said
    assert CANARY not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "written",
    [
        f'"{CANARY}"', f"'{CANARY}'", f"\ufeff{CANARY}", f"{CANARY}\r\n", f' " {CANARY} " ',
        f"\u201c{CANARY}\u201d", f"'\"{CANARY}\"'", f"\u200b{CANARY}\xa0",
    ],
)  # fmt: skip
def test_what_stands_around_a_key_by_mistake_is_not_a_part_of_it(written: str) -> None:
    given = {"OPENAI_API_KEY": written, "OPENAI_BASE_URL": '"http://host/v1"\n'}
    settings = JudgeSettings.from_env(given, cache=CACHE)
    assert settings.api_key == CANARY
    assert settings.base_url == "http://host/v1"


@pytest.mark.parametrize("part", ["user@host", "user:pw@host", ":pw@host", "host/v1?a=b", "host#a"])
def test_an_address_is_an_address_alone(part: str) -> None:
    given = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": f"https://{part}"}
    with pytest.raises(JudgeConfigError, match="without user name, password, query, fragment"):
        JudgeSettings.from_env(given, cache=CACHE)


@pytest.mark.parametrize("written", ['"', '"sk-only-one-quote', "sk-o'neill-0123"])
def test_a_quotation_mark_without_its_other_is_left_alone(written: str) -> None:
    assert JudgeSettings.from_env({"OPENAI_API_KEY": written}, cache=CACHE).api_key == written


def test_headers_of_the_users_own_may_have_the_key() -> None:
    given = {
        "OPENAI_API_KEY": CANARY,
        "OPENAI_CUSTOM_HEADERS": f"X-Key: {CANARY}\n\nno colon\nX-A-1: a b",
        "OPENAI_ORG_ID": " org-1\n",
        "OPENAI_PROJECT_ID": "",
    }
    assert JudgeSettings.from_env(given, cache=CACHE).api_key == CANARY


@pytest.mark.parametrize(
    ("name", "most", "beyond"),
    [
        ("UGC_JUDGE_CONCURRENCY", "512", "513"),
        ("UGC_JUDGE_ATTEMPTS", "100", "101"),
        ("UGC_JUDGE_REPEATS", "64", "65"),
        ("UGC_JUDGE_TIMEOUT", "86400", "86400.5"),
        ("UGC_JUDGE_DEADLINE", "86400", "86400.5"),
        ("UGC_JUDGE_BUDGET", "1000000", "1000000.5"),
        ("UGC_JUDGE_INTERVAL", "100", "100.5"),
    ],
)
def test_a_number_may_be_so_large_and_no_larger(name: str, most: str, beyond: str) -> None:
    given = {"OPENAI_API_KEY": CANARY}
    settings = JudgeSettings.from_env(given | {name: most}, cache=CACHE)
    field = name.removeprefix("UGC_JUDGE_").lower()
    assert getattr(settings, field) == float(most)
    with pytest.raises(JudgeConfigError, match=name):
        JudgeSettings.from_env(given | {name: beyond}, cache=CACHE)


@pytest.mark.parametrize(
    ("written", "early"),
    [("1", True), ("yes", True), ("True", True), ("ON", True), ("", True), ("0", False),
     ("no", False), ("false", False), ("Off", False)],
)  # fmt: skip
def test_judging_early_is_switched_by_any_word_for_it(written: str, early: bool) -> None:
    given = {"OPENAI_API_KEY": CANARY, "UGC_JUDGE_EARLY": written}
    assert JudgeSettings.from_env(given, cache=CACHE).early is early


def test_a_key_of_eight_characters_is_a_secret_also_here() -> None:
    for key, refused in (("12345678", True), ("1234567", False)):
        given = {"OPENAI_API_KEY": key, "UGC_JUDGE_MODEL": f"model-{key}"}
        if refused:
            with pytest.raises(JudgeConfigError, match="UGC_JUDGE_MODEL has the key in it"):
                JudgeSettings.from_env(given, cache=CACHE)
        else:
            assert JudgeSettings.from_env(given, cache=CACHE).model == "model-1234567"


def test_a_path_may_begin_in_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"OPENAI_API_KEY": CANARY, "UGC_JUDGE_STORE": "~/s", "UGC_JUDGE_PRICES": "~/p"}
    settings = JudgeSettings.from_env(given, cache=CACHE)
    assert (settings.store, settings.prices) == (tmp_path / "s", tmp_path / "p")


def test_a_placeholder_for_a_key_may_be_a_part_of_other_values() -> None:
    given = {"OPENAI_API_KEY": "EMPTY", "UGC_JUDGE_MODEL": "my-EMPTY-model"}
    assert JudgeSettings.from_env(given, cache=CACHE).model == "my-EMPTY-model"


WAYS = ("UGC_JUDGE_PROFILE=offline", "UGC_JUDGE_PROFILE=none", "--profile offline")


@pytest.mark.parametrize("profile", ["paper", "rubric"])
@pytest.mark.parametrize(
    ("command", "question", "offered"),
    [
        ("lmms-eval", "caption", WAYS[:2]),
        ("lmms-eval", "objects", WAYS[1:2]),
        ("score", "caption", WAYS[2:]),
        ("score", "objects", ()),
        ("judge-check", "caption", ()),
    ],
)
def test_a_paid_judge_without_a_key_says_what_can_be_done_with_this_command(
    profile: str, command: Command, question: str, offered: tuple[str, ...]
) -> None:
    given = {"UGC_JUDGE_PROFILE": profile, "OPENAI_API_KEY": " "}
    with pytest.raises(JudgeConfigError) as caught:
        JudgeSettings.from_env(given, cache=CACHE, question=QUESTIONS[question], command=command)
    said = str(caught.value)
    assert f"the judge profile {profile!r} needs OPENAI_API_KEY: set it" in said
    assert [way for way in WAYS if way in said] == list(offered)
    assert ("or choose" in said) == bool(offered)


def test_what_is_written_without_a_judge_is_named() -> None:
    with pytest.raises(JudgeConfigError, match="UGC_JUDGE_PROFILE=none to write answers only"):
        JudgeSettings.from_env({}, cache=CACHE, question=QUESTIONS["objects"])


@pytest.mark.parametrize("profile", ["offline", "none"])
def test_a_free_profile_needs_no_key_and_holds_none(profile: str) -> None:
    assert not JudgeSettings.from_env({"UGC_JUDGE_PROFILE": profile}, cache=CACHE).api_key
    given = {"UGC_JUDGE_PROFILE": profile, "OPENAI_API_KEY": CANARY}
    assert not JudgeSettings.from_env(given, cache=CACHE).api_key


def test_the_key_does_not_show() -> None:
    assert CANARY not in repr(JudgeSettings.from_env({"OPENAI_API_KEY": CANARY}, cache=CACHE))


@pytest.mark.parametrize(
    ("ranks", "share"), [("1", 8.0), ("4", 2.0), ("", 8.0), ("x", 8.0), ("0", 8.0)]
)
def test_ranks_share_a_budget_because_each_judges_its_own_clips(ranks: str, share: float) -> None:
    given = {"OPENAI_API_KEY": CANARY, "UGC_JUDGE_BUDGET": "8", "WORLD_SIZE": ranks}
    assert JudgeSettings.from_env(given, cache=CACHE).budget == share


@pytest.mark.parametrize("name", ["UGC_JUDGE_STORE", "UGC_JUDGE_PRICES"])
def test_a_path_in_the_home_of_nobody_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(JudgeConfigError, match=rf"^{name} is no path \(Could not determine home"):
        JudgeSettings.from_env(
            {"OPENAI_API_KEY": CANARY, name: "~nobody-of-that-name/file"}, cache=tmp_path
        )
