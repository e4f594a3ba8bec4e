"""Tiny checkpoints for tests and the demo; real engines load them. Begin with ``tiny_omni.py``."""
