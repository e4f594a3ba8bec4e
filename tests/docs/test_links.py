"""No link in README or docs/ is dead, and no page is out of reach from README."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import (
    OTHER_PAGES,
    PAGES,
    PROJECT,
    anchors,
    blocks,
    links,
    named,
)

README = PROJECT / "README.md"
LANGUAGES = {"toml", "sh", "json", "yaml", "python", "text"}

each_page = pytest.mark.parametrize("page", (*PAGES, *OTHER_PAGES), ids=named)


def _inside(page: Path) -> list[tuple[Path, str]]:
    """Return the files of this project that a page links to, each with the anchor in it."""
    found = []
    for link in links(page):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            found.append(((page.parent / name).resolve() if name else page, anchor))
    return found


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in _inside(page):
        assert target.is_relative_to(PROJECT), f"{named(page)} links out of the project: {target}"
        assert target.exists(), f"{named(page)} links to {named(target)}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{named(page)}: {named(target)} has no #{anchor}"


def test_addresses_elsewhere_are_https() -> None:
    elsewhere = [link for page in PAGES for link in links(page) if "://" in link]
    assert elsewhere
    assert [link for link in elsewhere if not link.startswith("https://")] == []


def test_every_page_is_reached_from_readme() -> None:
    reached, left = {README}, [README]
    while left:
        for target, _ in _inside(left.pop()):
            if target.suffix == ".md" and target not in reached:
                reached.add(target)
                left.append(target)
    assert [named(page) for page in PAGES if page not in reached] == []


def test_readme_is_two_screens_at_most() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert len(lines) <= 110


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_prose_and_commands_fit_into_120_columns(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is_written_in(page: Path) -> None:
    """So that none is left out by ``test_commands.py``; indented blocks cannot say it."""
    unknown = [block for block in blocks(page) if block.language not in LANGUAGES]
    assert [f"{block.page}:{block.line}" for block in unknown] == []
