"""The page in a real browser: looked at, searched, walked through by keys, and attacked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, Browser
from tests.ugc_tasks.report.test_page import ATTACKS, page, written

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

COUNT = 1000


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def large(folder: Path) -> str:
    """The address of a page of a thousand clips, one of them failed."""
    captions: dict[str, str | None] = {
        f"PI-{i:04}": f"Caption number {i} of a long evening by the sea." for i in range(COUNT)
    }
    captions["PI-0007"] = None
    path = folder / "large.html"
    path.write_text(page(written(folder, "large", captions)), "utf-8")
    return path.as_uri()


def opened(browser: Browser) -> str:
    return str(browser.run("document.querySelector('#clip h2').textContent"))


def listed(browser: Browser) -> str:
    return str(browser.run("document.getElementById('count').textContent"))


def test_a_thousand_clips_are_listed_and_few_are_drawn(browser: Browser, large: str) -> None:
    browser.open(large)
    assert listed(browser) == "1000 clips"
    drawn = "document.querySelectorAll('#rows li').length"
    assert 5 < browser.run(drawn) < 60
    browser.run("document.getElementById('window').scrollTop = 30000")
    browser.wait("document.querySelector('#rows li').textContent.includes('Caption number 5')")
    assert browser.run(drawn) < 60


def test_words_find_clips_in_all_their_texts(browser: Browser, large: str) -> None:
    browser.open(large)
    browser.press("/")
    browser.type("number 42 sea")
    browser.wait("document.getElementById('count').textContent.includes(' of ')")
    assert listed(browser) == "20 of 1000 clips"  # 42 to 942 by hundreds, 420 to 429; in ids, too


def test_keys_walk_through_the_clips_and_the_address_remembers_where(
    browser: Browser, large: str
) -> None:
    browser.open(large)
    first = opened(browser)
    browser.press("j", "j")
    third = opened(browser)
    assert third != first
    browser.press("k", "ArrowDown")
    assert opened(browser) == third
    address = str(browser.run("location.href"))
    browser.open(address)
    assert opened(browser) == third


def test_what_failed_can_be_had_alone(browser: Browser, large: str) -> None:
    browser.open(large)
    browser.run("document.getElementById('failed').click()")
    assert listed(browser) == "1 of 1000 clips"
    browser.press("j")
    assert opened(browser) == "PI-0007"
    assert "not scored: no caption" in str(browser.run("document.getElementById('clip').innerText"))


def test_words_that_the_other_text_lacks_are_marked(browser: Browser, folder: Path) -> None:
    path = folder / "marked.html"
    path.write_text(
        page(written(folder, "marked", {"PI-1": "Reference of seagulls.", "PI-2": "b"})), "utf-8"
    )
    browser.open(f"{path.as_uri()}#clip=PI-1")
    marked = "[...document.querySelectorAll('#clip .only')].map((e) => e.textContent)"
    assert browser.run(marked) == ["seagulls.", "PI-1."]


def test_two_runs_begin_with_the_largest_difference(browser: Browser, folder: Path) -> None:
    new = written(folder, "new", {"PI-1": "a", "PI-2": "b", "PI-3": "c"})
    old = written(folder, "old", {"PI-1": "d", "PI-2": "e", "PI-3": "f"})
    clips = {i: dict(scores) for i, scores in new.clips.items()}
    clips["PI-2"]["average"] = 95.0
    clips["PI-3"]["average"] = 75.0
    path = folder / "two.html"
    path.write_text(page(type(new)(**{**new.__dict__, "clips": clips}), old), "utf-8")
    browser.open(path.as_uri())
    values = "[...document.querySelectorAll('#rows .value')].map((e) => e.textContent)"
    assert browser.run(values) == ["+15.0", "−5.0", "0.0"]
    browser.press("d")
    browser.wait("document.querySelectorAll('#rows li').length === 2")


def test_no_text_of_others_does_anything(browser: Browser, folder: Path) -> None:
    captions = {f"PI-{i}": attack for i, attack in enumerate(ATTACKS)}
    path = folder / "attacked.html"
    path.write_text(page(written(folder, "attacked", captions)), "utf-8")
    browser.errors.clear()
    browser.open(path.as_uri())
    for number, attack in enumerate(ATTACKS):
        browser.run(f"open('PI-{number}')")
        shown = browser.run("document.querySelector('#clip .texts p:nth-of-type(2)').textContent")
        assert shown == json.loads(json.dumps(attack))
    assert browser.run("document.images.length + document.scripts.length") == 2
    assert browser.dialogs == []
    assert browser.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_are_drawn(browser: Browser, large: str, scheme: str) -> None:
    browser.prefers(scheme)
    browser.open(large)
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 23, 27)"}[scheme]


def test_runs_of_different_judges_are_listed_without_a_difference(
    browser: Browser, folder: Path
) -> None:
    captions: dict[str, str | None] = {"PI-1": "a", "PI-2": "b"}
    runs = written(folder, "first", captions), written(folder, "second", captions, label="other")
    path = folder / "judges.html"
    path.write_text(page(*runs), "utf-8")
    browser.open(f"{path.as_uri()}#sort=gains")
    values = "[...document.querySelectorAll('#rows .value')].map((e) => e.textContent)"
    assert browser.run(values) == ["80.0", "80.0"]
    assert browser.run("document.getElementById('differ')") is None
    assert browser.run("document.getElementById('column').textContent") == "average of first"
    assert "second" in str(browser.run("document.getElementById('clip').innerText"))


def test_of_three_runs_one_says_which_the_first_is_compared_with(
    browser: Browser, folder: Path
) -> None:
    captions: dict[str, str | None] = {"PI-1": "a", "PI-2": "b"}
    runs = [written(folder, name, captions) for name in ("new", "old", "oldest")]
    for scores in runs[2].clips.values():
        scores["average"] = 70.0  # type: ignore[index]
    path = folder / "three.html"
    path.write_text(page(*runs), "utf-8")
    browser.open(path.as_uri())
    values = "[...document.querySelectorAll('#rows .value')].map((e) => e.textContent)"
    assert browser.run(values) == ["0.0", "0.0"]
    choose = "(e) => { e.value = '2'; e.dispatchEvent(new Event('change')); }"
    browser.run(f"({choose})(document.getElementById('against'))")
    assert browser.run(values) == ["+10.0", "+10.0"]
    browser.open(str(browser.run("location.href")))
    column = "document.getElementById('column').textContent"
    assert browser.run(column) == "new minus oldest, average"


def test_buttons_walk_as_keys_do(browser: Browser, large: str) -> None:
    browser.open(large)
    first = opened(browser)
    buttons = "document.querySelectorAll('#clip .where button')"
    assert browser.run(f"{buttons}[0].disabled")
    browser.run(f"{buttons}[1].click()")
    assert opened(browser) != first
    browser.run(f"{buttons}[0].click()")
    assert opened(browser) == first
