"""The functions that the YAML files of background and objects name."""

from __future__ import annotations

from ugc_tasks.lmms.hooks import fields, process_judged

__getattr__ = fields("background", "objects")
process_results = process_judged
