"""The benchmark's data: begin with ``questions``, ``home`` (folders) or ``prepare``."""
