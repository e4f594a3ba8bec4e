"""Eight short clips with captions, made for this project: something to run on without downloads.

They are in the benchmark's own layout. `python -m tests.drawing.render` draws the clips again.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_home"]


def sample_home() -> Path:
    """The folder that has `final_caption_qa.json` and `videos/<video_id>.mp4`."""
    return Path(__file__).parent
