"""The functions that the YAML files of background and objects name.

A file of its own, because lmms-eval looks for them beside the YAML.
"""

from __future__ import annotations

from ugc_tasks.lmms.hooks import fields, process_judged

__getattr__ = fields("background", "objects")
process_results = process_judged
