"""Clips come out of an archive, and whatever else it holds stays where it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ugc_tasks.data.archive import Taken, take_from_archive
from ugc_tasks.data.home import DataError
from ugc_tasks.data.ledger import Dead, Ledger

WANTED = [f"PI-{n}" for n in range(1, 6)]
Take = Callable[..., Taken]
Files = list[tuple[str, bytes]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return tmp_path / "in" / "videos"


@pytest.fixture
def take(tmp_path: Path, videos: Path, ledger: Ledger) -> Iterator[Take]:
    """Take clips; afterwards nothing is anywhere but the clips in their folder."""

    def run(archive: Path, **options: object) -> Taken:
        chosen = {"present": (), "step": lambda _: None, **options}
        return take_from_archive(archive, WANTED, videos, ledger, **chosen)  # type: ignore[arg-type]

    before = set(tmp_path.rglob("*"))
    yield run
    left = {p for p in set(tmp_path.rglob("*")) - before if p.is_file() or p.is_symlink()}
    clips = {videos / f"{video_id}.mp4" for video_id in WANTED}
    assert {p for p in left if p.parent.name not in ("", "made")} <= clips | {tmp_path / "ledger"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


def a_zip(path: Path, files: Files, method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # it warns of duplicates
        for name, content in files:
            archive.writestr(name, content)
    return path


def a_tar(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def packed(pack: Callable[[bytes], bytes]) -> Callable[[Path, Files], Path]:
    def make(path: Path, files: Files) -> Path:
        path.write_bytes(pack(a_tar(path, files).read_bytes()))
        return path

    return make


KINDS = {
    "zip": a_zip,
    "deflated": lambda path, files: a_zip(path, files, zipfile.ZIP_DEFLATED),
    "tar": a_tar,
    "tar.gz": packed(gzip.compress),
    "tar.bz2": packed(bz2.compress),
    "tar.xz": packed(lzma.compress),
    "tar.xz of two streams": packed(lambda b: lzma.compress(b[:999]) + lzma.compress(b[999:])),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
zip_or_tar = pytest.mark.parametrize("make", [a_zip, a_tar], ids=["zip", "tar"])
Make = Callable[[Path, Files], Path]


@every_kind
def test_clips_in_any_folder_are_taken_and_other_files_are_not(
    *, take: Take, videos: Path, made: Path, ledger: Ledger, clip_bytes: bytes, make: Make
) -> None:
    ledger.note_dead("PI-1", Dead("http://a.example", "gone", "status 404"))
    files = [
        ("PI-1.mp4", clip_bytes),
        ("a/b/PI-2.mp4", clip_bytes),
        (".\\c\\PI-3.mp4", clip_bytes),
        ("README.txt", b"hello"),
        ("PI-4.mp4.txt", b"hello"),
        ("__MACOSX/._PI-5.mp4", b"hello"),
        ("PI-77.mp4", clip_bytes),
    ]
    # The name does not say what it is.
    taken = take(make(made / "archive", files))
    assert taken.done == ["PI-1", "PI-2", "PI-3"]
    assert (taken.unknown, taken.refused, taken.cut) == (4, [], None)
    assert {path.name for path in videos.iterdir()} == {f"PI-{n}.mp4" for n in (1, 2, 3)}
    assert (videos / "PI-2.mp4").read_bytes() == clip_bytes
    assert ledger.dead("PI-1") is None, "it is there now"
    assert ledger.checked(videos / "PI-1.mp4") == (True, None)


@zip_or_tar
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/PI-1.mp4", "its path is absolute"),
        ("C:\\clips\\PI-1.mp4", "its path is absolute"),
        ("\\\\host\\share\\PI-1.mp4", "its path is absolute"),
        ("../PI-1.mp4", "leads out of the archive"),
        ("a/../../PI-1.mp4", "leads out of the archive"),
        ("a\\..\\PI-1.mp4", "leads out of the archive"),
        ("a\x1b[2J/PI-1.mp4", "control characters"),
        ("../unrelated.txt", "leads out of the archive"),
    ],
)
def test_a_name_that_is_a_trick_is_refused_by_name(
    *, take: Take, made: Path, clip_bytes: bytes, make: Make, name: str, said: str
) -> None:
    taken = take(make(made / "a", [(name, clip_bytes), ("PI-2.mp4", clip_bytes)]))
    assert taken.done == ["PI-2"], "one bad member does not stop the others"
    ((told, reason),) = taken.refused
    assert said in reason
    assert "\x1b" not in told


@zip_or_tar
def test_the_second_clip_of_an_id_is_refused(
    take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make
) -> None:
    taken = take(make(made / "a", [("a/PI-1.mp4", clip_bytes), ("b/PI-1.mp4", b"other")]))
    assert taken.done == ["PI-1"]
    assert taken.refused == [("b/PI-1.mp4", "the archive has PI-1 already: a duplicate")]
    assert (videos / "PI-1.mp4").read_bytes() == clip_bytes


@zip_or_tar
def test_what_is_there_is_left_alone(
    take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [("PI-1.mp4", clip_bytes), ("PI-2.mp4", clip_bytes)]
    taken = take(make(made / "a", files), present={"PI-1"})
    assert (taken.there, taken.done) == (["PI-1"], ["PI-2"])


@zip_or_tar
def test_a_member_that_is_no_clip_is_refused(
    take: Take, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [("PI-1.mp4", b"<html>"), ("PI-2.mp4", clip_bytes[:5000]), ("PI-3.mp4", clip_bytes)]
    taken = take(make(made / "a", files))
    assert taken.done == ["PI-3"]
    assert [name for name, _ in taken.refused] == ["PI-1.mp4", "PI-2.mp4"]
    assert all("it is no clip" in reason for _, reason in taken.refused)


@zip_or_tar
def test_a_member_that_says_it_is_too_large_is_not_unpacked(
    take: Take, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [("PI-1.mp4", b"x" * 90_000), ("PI-2.mp4", clip_bytes)]
    taken = take(make(made / "a", files), most_bytes=80_000)
    assert taken.done == ["PI-2"]
    assert taken.refused == [("PI-1.mp4", "it says that it has 90000 bytes, more than 80000")]


@zip_or_tar
def test_no_more_comes_out_than_is_allowed_in_all(
    take: Take, made: Path, clip_bytes: bytes, make: Make
) -> None:
    files = [(f"PI-{n}.mp4", clip_bytes) for n in range(1, 6)]
    taken = take(make(made / "a", files), most_total=int(2.5 * len(clip_bytes)))
    assert taken.done == ["PI-1", "PI-2"]
    assert taken.cut or taken.refused


def unix(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o644) << 16
    return info


@pytest.mark.parametrize(
    ("kind", "said"),
    [(stat.S_IFLNK, "link"), (stat.S_IFBLK, "device"), (stat.S_IFIFO, "pipe")],
)
def test_links_and_devices_in_a_zip_are_refused(
    take: Take, made: Path, clip_bytes: bytes, kind: int, said: str
) -> None:
    with zipfile.ZipFile(made / "a", "w") as archive:
        archive.writestr(unix("PI-1.mp4", kind), "/etc/hostname")
        archive.writestr(unix("PI-2.mp4", stat.S_IFREG), clip_bytes)
    taken = take(made / "a")
    assert (taken.done, taken.refused) == (["PI-2"], [("PI-1.mp4", f"it is a {said}")])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    take: Take, made: Path, clip_bytes: bytes, kind: bytes, said: str
) -> None:
    with tarfile.open(made / "a", "w") as archive:
        trick = tarfile.TarInfo("PI-1.mp4")
        trick.type, trick.linkname = kind, "/etc/hostname"
        archive.addfile(trick)
        honest = tarfile.TarInfo("PI-2.mp4")
        honest.size = len(clip_bytes)
        archive.addfile(honest, io.BytesIO(clip_bytes))
    taken = take(made / "a")
    assert (taken.done, taken.refused) == (["PI-2"], [("PI-1.mp4", f"it is a {said}")])


def test_an_encrypted_member_is_refused(take: Take, made: Path, clip_bytes: bytes) -> None:
    path = a_zip(made / "a", [("PI-1.mp4", clip_bytes), ("PI-2.mp4", clip_bytes)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the first entry of the directory
    path.write_bytes(data)
    taken = take(path)
    assert (taken.done, taken.refused) == (["PI-2"], [("PI-1.mp4", "it is encrypted")])


def test_a_bomb_in_a_zip_is_refused_while_it_unpacks(
    take: Take, made: Path, clip_bytes: bytes
) -> None:
    files = [("PI-1.mp4", bytes(64 << 20)), ("PI-2.mp4", clip_bytes)]
    taken = take(a_zip(made / "a", files, zipfile.ZIP_DEFLATED))
    assert taken.done == ["PI-2"]
    ((name, reason),) = taken.refused
    assert name == "PI-1.mp4"
    assert "unpacks to more than 20 times its size" in reason


@pytest.mark.parametrize("claimed", [10, 1 << 40])
def test_a_size_that_lies_in_a_zip_is_refused(
    take: Take, made: Path, clip_bytes: bytes, claimed: int
) -> None:
    path = a_zip(
        made / "a", [("PI-1.mp4", clip_bytes), ("PI-2.mp4", clip_bytes)], zipfile.ZIP_DEFLATED
    )
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, min(claimed, 0xFFFFFFFE))  # its size, unpacked
    path.write_bytes(data)
    taken = take(path)
    assert taken.done == ["PI-2"]
    assert [name for name, _ in taken.refused] == ["PI-1.mp4"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_around_a_tar_stops_the_reading(
    take: Take, made: Path, clip_bytes: bytes, pack: Callable[[bytes], bytes]
) -> None:
    path = a_tar(made / "a", [("PI-1.mp4", clip_bytes), ("x", bytes(60 << 20))])
    path.write_bytes(pack(path.read_bytes()))
    taken = take(path)
    assert taken.done == ["PI-1"], "what came before is kept"
    assert taken.cut == "it unpacks to more than 20 times its size"


def test_a_header_of_a_tar_is_not_read_into_memory_whatever_its_size(
    take: Take, made: Path
) -> None:
    path = a_tar(made / "a", [("x" * (2 << 20), b"")])  # a long name is a member before its own
    with tarfile.open(path) as readable:
        assert len(readable.getnames()[0]) == 2 << 20
    with pytest.raises(DataError, match="not a zip or tar archive"):
        take(made / "a")


@every_kind
def test_an_archive_that_was_cut_gives_what_is_whole_and_says_so(
    take: Take, videos: Path, made: Path, clip_bytes: bytes, make: Make
) -> None:
    path = make(made / "a", [(f"PI-{n}.mp4", clip_bytes) for n in range(1, 5)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.8)])
    if path.read_bytes()[:2] == b"PK":  # its directory is at its end
        with pytest.raises(DataError, match="not a zip or tar archive, or damaged"):
            take(path)
        return
    try:
        taken = take(path)
    except DataError:
        # bzip2 and xz pack so much at once that the first member may be behind the cut.
        return
    assert taken.cut is not None
    assert "damaged or cut short" in taken.cut
    assert all((videos / f"{i}.mp4").read_bytes() == clip_bytes for i in taken.done)
    assert "PI-4" not in taken.done


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a zip or tar archive"),
        (b"hello" * 999, "not a zip or tar archive"),
        (b"PK\x03\x04 and so on", "not a zip or tar archive"),
        (b"\x28\xb5\x2f\xfd and so on", "Zstandard|not a zip or tar"),
        (b"\xfd7zXZ\x00 and so on", "not a zip or tar archive"),
    ],
    ids=["empty", "text", "false zip", "zst", "false xz"],
)
def test_what_is_no_archive_is_said_in_a_sentence(
    take: Take, made: Path, content: bytes, said: str
) -> None:
    (made / "a").write_bytes(content)
    with pytest.raises(DataError, match=said):
        take(made / "a")
    with pytest.raises(DataError, match="cannot be read"):
        take(made / "absent")
