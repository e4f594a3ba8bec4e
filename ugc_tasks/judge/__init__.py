"""The caption judge: three scores from 1 to 5 for a caption, given the reference.

Start at ``judge.py``. Importing this package loads nothing heavy.
"""
