"""lmms-eval's side of the benchmark: what its YAML files name, and how its metrics are made.

Begin with ``hooks.py``.
"""
