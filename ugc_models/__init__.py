"""Models for lmms-eval that turn a clip with sound into a caption.

Knows nothing of any benchmark. Importing it loads nothing heavy.
"""
