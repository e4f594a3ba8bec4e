"""Questions with options: voice source, tone, background music. Begin with ``accuracy.py``."""
