"""axe-core finds nothing serious in the page: whoever cannot see it can use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import CHROMIUM, Browser
from tests.ugc_tasks.report.test_page import page, written

_OURS = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"
AXE = Path(os.environ.get("AXE_JS") or _OURS)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(
        not AXE.is_file(), reason=f"axe-core is not there: {AXE}; .ci/run brings it, or set AXE_JS"
    ),
]

CAPTIONS = {f"PI-{i:03}": f"Caption {i} of an evening by the sea." for i in range(40)} | {
    "PI-007": None
}
DESK, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    new, old = written(folder, "new", CAPTIONS), written(folder, "old", CAPTIONS)
    other = written(folder, "other", CAPTIONS, label="rubric/another")
    slices = {"sound": {"silent": list(CAPTIONS)[:9], "with sound": list(CAPTIONS)[9:]}}
    texts = {
        "one": page(new, slices=slices),
        "two": page(new, old, slices=slices),
        "three": page(new, old, other),
        "estimate": page(written(folder, "estimate", CAPTIONS, estimate=True, wanted=999)),
        "none": page(written(folder, "none", {"PI-1": None})),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def findings(browser: Browser) -> list[str]:
    """Return what axe calls serious or critical, each with where it is."""
    browser.run(AXE.read_text("utf-8") + ";undefined")
    found: list[Any] = browser.run("axe.run().then((all) => all.violations)")
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["one", "two"])
def test_nothing_serious_is_found(
    browser: Browser, pages: dict[str, Path], name: str, scheme: str, size: tuple[int, int]
) -> None:
    browser.prefers(scheme)
    browser.resize(*size)
    browser.open(pages[name].as_uri())
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert findings(browser) == []
    wide = browser.run("document.documentElement.scrollWidth")
    assert wide <= size[0], "nothing is cut off at the right"


@pytest.mark.parametrize("name", ["three", "estimate", "none"])
def test_nothing_serious_is_found_in_odd_pages(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.prefers("light")
    browser.resize(*DESK)
    browser.open(pages[name].as_uri())
    assert findings(browser) == []


def test_what_is_found_is_named(browser: Browser, tmp_path: Path) -> None:
    """So that no finding is not the silence of an axe that did not run."""
    path = tmp_path / "bad.html"
    ready = '<!doctype html><html data-ready="yes"><body>'
    path.write_text(f"{ready}<img src='data:,'><p style='color: #ccc'>pale</p>", "utf-8")
    browser.open(path.as_uri())
    assert {each.split()[0] for each in findings(browser)} >= {"image-alt", "color-contrast"}
