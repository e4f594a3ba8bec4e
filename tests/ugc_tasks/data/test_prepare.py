"""Which link is which clip's is stated in a table, and never told by order."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ugc_tasks.common.files import DataError
from ugc_tasks.data import prepare as module
from ugc_tasks.data.prepare import links_from_dataset, links_from_map, tiktok_link, web_link

IDS = [f"PI-{uuid.UUID(int=(i + 1) << 64)}" for i in range(12)]
NUMBERS = [str(7479179770182552878 + 1000 * i) for i in range(12)]
LINKS = [f"https://www.tiktok.com/@some.body{i}/video/{n}" for i, n in enumerate(NUMBERS)]
WANTED = dict(zip(IDS, LINKS, strict=True))
LAYOUT = "--map takes a CSV file whose first line names the columns video_id and url"


def a_map(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize(
    "lines",
    [
        ["video_id,url", *(f"{i},{link}" for i, link in WANTED.items())],
        ["\ufeffurl;n;video_id", *(f'"{link}";"a;b";{i}' for i, link in WANTED.items()), ""],
        ["video_id\turl", *(f"/videos/{i}.mp4\t {link} " for i, link in WANTED.items())],
        [json.dumps({"video_id": i, "url": link, "n": 1}) for i, link in WANTED.items()],
        [json.dumps([{"video_id": i, "url": link} for i, link in WANTED.items()])],
    ],
    ids=["plain", "other order, more columns", "tabs, files", "JSON Lines", "JSON"],
)
def test_a_map_names_its_two_columns(tmp_path: Path, lines: list[str]) -> None:
    links = links_from_map(a_map(tmp_path / "map", *lines), IDS)
    assert links.by_id == WANTED
    assert (links.id_column, links.link_column, links.conflicts) == ("video_id", "url", ())


def test_clips_of_no_interest_and_without_a_link_are_passed_over(tmp_path: Path) -> None:
    path = a_map(
        tmp_path / "map",
        "video_id,url",
        f"{IDS[0]},{LINKS[0]}",
        f"{IDS[0]},{LINKS[0]}",
        f"{IDS[1]},",
        "PI-unknown,no link",
        ",",
    )
    assert links_from_map(path, IDS).by_id == {IDS[0]: LINKS[0]}


@pytest.mark.parametrize(
    "content",
    [
        f"id,link\n{IDS[0]},{LINKS[0]}".encode(),
        f"{IDS[0]},{LINKS[0]}\n{IDS[1]},{LINKS[1]}".encode(),
        json.dumps(WANTED).encode(),
        json.dumps(list(WANTED.items())).encode(),
        f"{LINKS[0]}\n{LINKS[1]}".encode(),
        b"PAR1 and so on \xff",
        b"",
        b"[" * 100_000,
        b'{"a": 1}\n{"a": ',
    ],
    ids=[
        "other names",
        "no names",
        "id: link",
        "pairs",
        "one column",
        "Parquet",
        "empty",
        "deep",
        "cut",
    ],
)
def test_any_other_table_is_refused_with_the_layout(tmp_path: Path, content: bytes) -> None:
    """Whatever its columns are: they are not guessed."""
    (tmp_path / "map").write_bytes(content)
    with pytest.raises(DataError) as caught:
        links_from_map(tmp_path / "map", IDS)
    assert str(caught.value).startswith(f"{tmp_path / 'map'}")
    assert LAYOUT in str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "no", r"cannot be read \(No such file"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=said) as caught:
            links_from_map(path, IDS)
        assert "--map" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{IDS[1]},https://user:hunter2@a.example/x", f"row 2: {IDS[1]} has no http or https l"),
        (f"{IDS[1]},file:///etc/passwd", f"row 2: {IDS[1]} has no http or https link"),
        (f"{IDS[0]},{LINKS[1]}", f"row 2: {IDS[0]} has two different links"),
    ],
)
def test_a_row_that_is_wrong_is_named_without_its_link(
    tmp_path: Path, line: str, said: str
) -> None:
    path = a_map(tmp_path / "map", "video_id,url", f"{IDS[0]},{LINKS[0]}", line)
    with pytest.raises(DataError) as caught:
        links_from_map(path, IDS)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_map_of_other_clips_says_what_it_names(tmp_path: Path) -> None:
    path = a_map(tmp_path / "map", "video_id,url", f"clip_1,{LINKS[0]}")
    with pytest.raises(DataError) as caught:
        links_from_map(path, IDS)
    assert f"whose ids are as {IDS[0]} and not as 'clip_1'; --map" in str(caught.value)


Rows = list[dict[str, object]]


def a_table(path: Path, rows: Rows) -> Path:
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_the_datasets_columns_are_known_by_what_they_hold(tmp_path: Path) -> None:
    rows: Rows = [
        {
            "wo": f"/workspace/video/{video_id}.mp4",
            "n": i,
            "author page": f"https://www.tiktok.com/@some.body{i}",
            "Quelle (orig.)": link + "?lang=en",
            "first": LINKS[0] if i == 0 else None,
            "mirror": f"https://evil.example/{video_id}.mp4",
        }
        for i, (video_id, link) in enumerate(WANTED.items())
    ]
    links = links_from_dataset(a_table(tmp_path / "meta.parquet", rows), IDS)
    assert links.by_id == WANTED
    assert (links.id_column, links.link_column) == ("wo", "Quelle (orig.)")


def test_a_clip_with_two_links_in_the_dataset_is_left_out(tmp_path: Path) -> None:
    rows: Rows = [{"id": i, "url": link} for i, link in WANTED.items()]
    path = a_table(tmp_path / "meta.parquet", [*rows, {"id": IDS[0], "url": LINKS[1]}])
    links = links_from_dataset(path, IDS)
    assert links.conflicts == (IDS[0],)
    assert set(links.by_id) == set(IDS[1:])


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": i, "words": 3} for i in IDS],
        [{"id": "x", "url": link} for link in LINKS],
        [{"id": i, "url": None} for i in IDS] + [{"id": None, "url": link} for link in LINKS],
    ],
    ids=["no links", "no ids", "not side by side"],
)
def test_a_dataset_that_does_not_tell_is_said_with_what_to_do(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(DataError, match=r"meta\.parquet does not say which link") as caught:
        links_from_dataset(a_table(tmp_path / "meta.parquet", rows), IDS)
    assert LAYOUT in str(caught.value)


def test_a_dataset_that_is_no_table_or_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").write_bytes(b"PAR1 and then nothing")
    for path in (tmp_path / "t", tmp_path / "absent"):
        with pytest.raises(DataError, match="not a readable Parquet file"):
            links_from_dataset(path, IDS)
    path = a_table(tmp_path / "meta.parquet", [{"id": i, "url": u} for i, u in WANTED.items()])
    monkeypatch.setattr(module, "_MAX_ROWS", 11)
    with pytest.raises(DataError, match="more than 11 rows are too many"):
        links_from_dataset(path, IDS)


def test_a_link_may_be_long_but_not_without_limit() -> None:
    link = "https://a.example/" + "x" * (2048 - 18)
    assert web_link(link) == link
    assert web_link(link + "x") is None


@pytest.mark.parametrize(
    "value",
    [
        "https://www.tiktok.com/@a/video/7479179770182552878?is_from_webapp=1#x",
        "http://m.tiktok.com/v/7479179770182552878.html",
        "https://vm.tiktok.com/ZMabcdef/",
        "https://www.tiktok.com/t/ZTabcdef/",
        "https://vt.tiktok.com/ZMabcdef/",
        "https://tiktok.com/@a/video/7479179770182552878",
        "https://www.tiktok.com/share/video/7479179770182552878",
        "https://www.tiktok.com/embed/v2/7479179770182552878",
    ],
)
def test_a_link_to_a_tiktok_video_is_plain_https(value: str) -> None:
    assert tiktok_link(value) == value.replace("http:", "https:").split("?")[0]


@pytest.mark.parametrize(
    "value",
    [
        "https://www.tiktok.com/@a",
        "https://tiktok.com.evil.example/@a/video/7479179770182552878",
        "https://eviltiktok.com/@a/video/7479179770182552878",
        "https://www.eviltiktok.com/@a/video/7479179770182552878",
        "https://www.tiktok.com/@a/video/1234",
        "https://www.tiktok.com/@a/video/7479179770182552878/likes",
        "https://www.tiktok.com/@a/t/ZTabcdef",
        "https://evil.example/https://www.tiktok.com/@a/video/7479179770182552878",
        "https://www.tiktok.com@evil.example/@a/video/7479179770182552878",
        "https://www.tiktok.com:8443/@a/video/7479179770182552878",
        "file://www.tiktok.com/@a/video/7479179770182552878",
        "https://p16.tiktokcdn.com/x.jpeg",
    ],
)
def test_any_other_link_is_none_of_the_datasets(value: str) -> None:
    assert tiktok_link(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "file:///etc/passwd",
        "ftp://a.example/x",
        "//a.example/x",
        "http://",
        "https://a.example:port/",
        "https://user:hunter2@a.example/x",
        "https://a.example/a b",
        "https://a.example/\x1b[2J",
        "https://[::1",
        "https://a.example/" + "x" * 3000,
    ],
)
def test_a_map_may_hold_web_links_only(value: str) -> None:
    assert web_link(value) is None
