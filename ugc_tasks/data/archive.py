"""Clips out of a zip or tar archive that may be hostile.

Nothing is ever unpacked to a path that the archive names. A member that is called
``<video_id>.mp4`` of a wanted clip, in whatever folder and case, is copied to a file of our own,
checked, and moved to its place; one that is not taken is named with the reason, and does not stop
the others.
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ugc_tasks.common.files import DataError
from ugc_tasks.data.archive_members import Member, tar_members, wrong_name, zip_members
from ugc_tasks.data.check import MAX_CLIP_BYTES, ClipFault, admit
from ugc_tasks.data.clips import staging
from ugc_tasks.data.compressed import MAX_RATIO, SLACK, BadArchive, reading
from ugc_tasks.data.ledger import Ledger
from ugc_tasks.data.videos import video_path

MAX_TOTAL_BYTES = 64 << 30
_MAX_MEMBERS = 200_000
_NAMED = 1000
_LONGEST_NAME = 200
_RATIO_SLACK = 1 << 20


@dataclass
class Taken:
    """What came of an archive.

    Attributes:
        done: ids whose clips were put in place.
        there: ids that were there before and were left as they are.
        refused: (member's name, reason) of those not taken; the first thousand.
        refused_count: how many there were.
        unknown: how many members are files other than wanted clips.
        example: the name of one of those.
        cut: why the archive was not read to its end, if so.
    """

    done: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    refused_count: int = 0
    unknown: int = 0
    example: str = ""
    cut: str | None = None

    def refuse(self, name: str, reason: str) -> None:
        """Note a member that was not taken."""
        self.refused_count += 1
        if len(self.refused) < _NAMED:
            self.refused.append((ascii(name)[1:-1][:_LONGEST_NAME], reason))


def take_from_archive(
    path: Path,
    wanted: Collection[str],
    folder: Path,
    ledger: Ledger,
    *,
    present: Collection[str],
    step: Callable[[str], None],
    most_bytes: int = MAX_CLIP_BYTES,
    most_total: int = MAX_TOTAL_BYTES,
) -> Taken:
    """Put the wanted clips of an archive into ``folder``.

    Args:
        path: a zip file, or a tar file, plain or compressed by gzip, bzip2, xz (or Zstandard from
            Python 3.14 on). Its name does not matter.
        wanted: ids of clips.
        folder: where clips go.
        ledger: where checks are kept.
        present: ids whose clips are there and whole: they are left as they are.
        step: called with each member's name.
        most_bytes: a larger member is refused.
        most_total: when more has come out of the archive, the rest is not read.

    Raises:
        DataError: the file cannot be read or is no archive, or ``folder`` cannot be written to.
    """
    taken = Taken()
    seen: set[str] = set()
    by_name = {f"{video_id}.mp4".casefold(): video_id for video_id in wanted}
    left = min(most_total, SLACK + MAX_RATIO * _check_file(path))
    with staging(folder) as scratch, closing(_members(path, most_total)) as members:
        try:
            for number, member in enumerate(members):
                if number >= _MAX_MEMBERS:
                    taken.cut = f"it has more than {_MAX_MEMBERS} members"
                    break
                step(member.name)
                video_id = _choose(member, by_name, present, seen, taken)
                if video_id is None:
                    continue
                target = video_path(folder, video_id)
                most = min(left, most_bytes)
                left -= _take(member, target, scratch, most=most, ledger=ledger, taken=taken)
                if left <= 0:
                    taken.cut = f"more than {most_total} bytes come out of it"
                    break
        except BadArchive as error:
            taken.cut = str(error)
    for video_id in taken.done:
        ledger.forget_dead(video_id)
    return taken


def _check_file(path: Path) -> int:
    """Return the size of an archive; raises ``DataError`` where it is no file to be read."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise DataError(f"{path}: cannot be read: it is no ordinary file")
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return info.st_size


def _members(path: Path, most_total: int) -> Generator[Member]:
    """Yield the members of an archive of either kind.

    Raises:
        DataError: not even the first can be read.
        BadArchive: a later one cannot be read.
    """
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    members = zip_members(path) if is_zip else tar_members(path, most_total)
    first = True
    while True:
        try:
            with reading():
                member = next(members, None)
        except BadArchive as error:
            if not first:
                raise
            raise DataError(f"{path}: not a zip or tar archive that can be read: {error}") from None
        if member is None:
            return
        yield member
        first = False


def _choose(
    member: Member,
    wanted: Mapping[str, str],
    present: Collection[str],
    seen: set[str],
    taken: Taken,
) -> str | None:
    """Return the id whose clip a member is, if it is to be taken."""
    if (fault := wrong_name(member.name) or member.fault) is not None:
        taken.refuse(member.name, fault)
        return None
    base = member.name.replace("\\", "/").rsplit("/", 1)[-1]
    video_id = wanted.get(base.casefold())
    if video_id is None:
        taken.unknown += bool(base)
        taken.example = taken.example or ascii(base)[1:-1][:_LONGEST_NAME]
        return None
    if video_id in seen:
        taken.refuse(member.name, f"the archive has {video_id} already: a duplicate")
        return None
    seen.add(video_id)
    if video_id in present:
        taken.there.append(video_id)
        return None
    return video_id


def _take(
    member: Member, target: Path, scratch: Path, *, most: int, ledger: Ledger, taken: Taken
) -> int:
    """Copy, check and place one member; return how many bytes came out of it."""
    if member.size > most:
        taken.refuse(member.name, f"it says that it has {member.size} bytes, more than {most}")
        return 0
    copied = 0
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as own:
            temporary = Path(own, "clip.mp4")
            with temporary.open("wb") as file:
                for block in _blocks(member):
                    copied += len(block)
                    if copied > most:
                        raise BadArchive(f"more than {most} bytes come out of it, whatever it says")
                    if copied > _RATIO_SLACK + MAX_RATIO * member.packed:
                        raise BadArchive(f"it unpacks to more than {MAX_RATIO} times its size")
                    file.write(block)
            admit(temporary, target)
            ledger.note_checked(target, None)
    except ClipFault as fault:
        taken.refuse(member.name, f"it is no clip: {fault}")
    except BadArchive as error:
        if not member.alone:
            raise  # a stream that is broken here is broken for the rest
        taken.refuse(member.name, f"it cannot be unpacked: {error}")
    except OSError as error:
        raise DataError(f"{target}: the clip cannot be written ({error.strerror})") from None
    else:
        taken.done.append(target.stem)
    return copied


def _blocks(member: Member) -> Iterator[bytes]:
    with reading(), member.open() as content:
        while block := content.read(1 << 18):
            yield block
