"""``vllm serve`` as an engine. Begin with ``remote.py``."""
