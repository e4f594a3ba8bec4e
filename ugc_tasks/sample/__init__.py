"""Eight short clips with captions, made for this project: something to run on without downloads.

The files are in the benchmark's own layout (`final_caption_qa.json`, `videos/<video_id>.mp4`).
`python -m tests.drawing.render` draws the clips again; nothing else needs the modules here.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["sample_home"]


def sample_home() -> Path:
    """The folder that has `final_caption_qa.json` and `videos/`."""
    from importlib.resources import files

    return Path(str(files(__name__)))  # wheels are unpacked on installation: this is a real folder
