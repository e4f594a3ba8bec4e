"""What the benchmark's authors published, file by file, and how each is told from anything else.

The digests are of the files at the pinned commits. Two files of the dataset have none here: they
were not at hand when this was written, and are compared with what the Hub says of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

GITHUB_REPO = "WPR001/UGC_VideoCaptioner"
GITHUB_COMMIT = "5f5353881fe38321b044543eec83e488b48afacf"
GITHUB_FOLDER = "omni_bench_qa/benchmark_qa"

NO_REFERENCE = frozenset({"PI-0abb79ae-18ae-40d9-a66f-3ad7744a6095"})
"""Scored by the authors, but in no published annotation of captions."""

META = "meta.parquet"
URL_LIST = "video_urls.txt"


@dataclass(frozen=True)
class PublishedFile:
    """One file: where it is published, its SHA-256 if known, and the task that asks from it."""

    name: str
    origin: Literal["hub", "github"]
    sha256: str | None = None
    task: str | None = None


FILES: Mapping[str, PublishedFile] = MappingProxyType(
    {
        file.name: file
        for file in (
            PublishedFile(
                "final_caption_qa.json",
                "hub",
                "29ebe413478752dcade4a2352a3c9fb6894109144307af177e543b9bc3c4c0a5",
                "ugc_videocap",
            ),
            PublishedFile(
                "voice_source.json",
                "hub",
                "e4b99eb294f9f46a02ea70598fcabc2e5bb580329f9b909190727fec571de4b5",
                "ugc_videocap_voice_source",
            ),
            PublishedFile(
                "tone.json",
                "hub",
                "920f29edd572c6cb2fead0c445222d8bb531f8d6b14030fbe80aad4692a6ac44",
                "ugc_videocap_tone",
            ),
            PublishedFile(
                "ocr.jsonl",
                "hub",
                "6b3ccda4f51c1a0e609f2eeab39223a659a51398af9eebc50b5eb9e82b97f710",
                "ugc_videocap_ocr",
            ),
            PublishedFile(
                "back_ground_change_new.json",
                "hub",
                "a090036e09a2960fc1253e1cb224b1af5a0470b391c2bfe7c415c8c8c723724c",
                "ugc_videocap_background",
            ),
            PublishedFile(
                "object.json",
                "hub",
                "e40e2da79e1b50709dd22f9a546e87ec3d74fcee149a47215ed00dd311cd4454",
                "ugc_videocap_objects",
            ),
            PublishedFile(
                "audio_caption_qa.json",
                "github",
                "7a0c88ee76214fe8c603fbcdf4101f10364d4fb185d627435e1e929cd4cf4ab5",
                "ugc_videocap_audio_caption",
            ),
            PublishedFile(
                "visual_caption_qa.json",
                "github",
                "72f0996fe0370e477d1c2616e86bcf385b483be9260c59840c52cdfec78d2fe4",
                "ugc_videocap_visual_caption",
            ),
            PublishedFile(
                "BGM.json",
                "github",
                "84c90df364f01670b85a49a3ec40df00dcd6d8ba26a64294ba88b5837a1af51f",
                "ugc_videocap_bgm",
            ),
            PublishedFile(META, "hub"),
            PublishedFile(URL_LIST, "hub"),
        )
    }
)


def is_published(path: Path) -> bool:
    """Tell whether a file is the published one of its name, byte for byte.

    A file of which no digest is known is taken for what it is called. False too where the file
    cannot be read, or where no file of that name was published.
    """
    file = FILES.get(path.name)
    try:
        if file is None or not path.is_file():
            return False
        return file.sha256 is None or digest(path) == file.sha256
    except OSError:
        return False


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal; raises ``OSError``."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
