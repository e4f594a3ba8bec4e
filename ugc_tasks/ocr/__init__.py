"""Which texts are seen in the clip: such answers and their overlap. See ``overlap.py``."""
