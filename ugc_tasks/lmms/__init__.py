"""lmms-eval's side of the benchmark: what its YAML files name. Begin with ``hooks.py``."""
