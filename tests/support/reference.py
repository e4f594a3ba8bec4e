"""Where the benchmark's published files lie while this project is developed.

They are not part of the project: a user's clone lacks them, so a test that compares with published
figures is skipped there, with the reason, and runs in CI.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[2]


def reference_dir() -> Path:
    """Return the folder of reference data, or skip the calling test when there is none."""
    folder = Path(os.environ.get("UGC_REFERENCE_DIR", _PROJECT.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"the benchmark's reference data are not at {folder}")
    return folder
