"""The functions that the YAML files of the captions name.

lmms-eval executes this file afresh for every ``!function`` of the YAML, so it holds no state.
A file of its own, because lmms-eval looks for them beside the YAML.
"""

from __future__ import annotations

from ugc_tasks.lmms.hooks import fields, process_judged

__getattr__ = fields("caption", "audio_caption", "visual_caption")
process_results = process_judged
