"""What README and the pages in docs/ hold: blocks, commands in them, links, anchors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
OTHER_PAGES = tuple(
    PROJECT / name
    for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
)

MAKEFILE = (PROJECT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))

_FENCE = re.compile(r"```(\S*)")
_INDENTED = re.compile(r"(?: {4}|\t)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")


def named(page: Path) -> str:
    """Return a page's name as messages show it."""
    return page.relative_to(PROJECT).as_posix()


@dataclass(frozen=True)
class Block:
    """A block of code; ``language`` is empty where the page names none."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command of a block of shell: its words, with ``|`` and ``>`` as words of their own."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    @property
    def all_words(self) -> list[str]:
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|>&;")
        lexer.whitespace_split = True
        return list(lexer)

    @property
    def assigned(self) -> dict[str, str]:
        """Return the variables that stand before the command, or that ``export`` sets."""
        words = self.all_words
        words = words[1:] if words[0] == "export" else words
        found = {}
        for word in words:
            if not _ASSIGNED.match(word):
                break
            name, _, value = word.partition("=")
            found[name] = value
        return found

    @property
    def words(self) -> list[str]:
        """Return the words from the program on."""
        words = self.all_words
        return words if words[0] == "export" else words[len(self.assigned) :]

    @property
    def program(self) -> str:
        return Path(self.words[0]).name


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, and each indented one as a block without a language."""
    found: list[Block] = []
    language: str | None = None
    held: list[str] = []
    began = 0
    before = ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if language is not None:
            if fence:
                found.append(Block(named(page), began, language, "\n".join(held) + "\n"))
                language = None
            else:
                held.append(line)
        elif fence:
            language, held, began = fence[1], [], number + 1
        elif _INDENTED.match(line) and not before.strip():
            found.append(Block(named(page), number, "", line.strip() + "\n"))
        before = line
    assert language is None, f"{named(page)}: the block at line {began} does not end"
    return found


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands in a page's blocks of shell, in their order."""
    for block in blocks(page):
        if block.language not in ("sh", ""):
            continue
        held, began = "", block.line
        for number, line in enumerate(block.text.splitlines(), block.line):
            began = began if held else number
            held += line.removesuffix("\\")
            if not line.endswith("\\"):
                command = Command(named(page), began, " ".join(held.split()))
                held = ""
                if command.all_words:  # else it is a comment
                    yield command


def _prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def spans(page: Path) -> list[str]:
    """Return what stands as code within a page's prose and tables."""
    return [" ".join(code.split()) for code in _CODE.findall(_prose(page))]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures."""
    return _LINK.findall(_CODE.sub("", _prose(page).replace("[`", "[").replace("`]", "]")))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?)\s*$", _prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
