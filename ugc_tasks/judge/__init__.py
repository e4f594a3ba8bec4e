"""The judge: scores for a model's answer about a clip, given the reference.

Start at ``judge.py``; what can be judged, and by whom, is in ``protocol/profiles.py``. Importing
this package loads nothing heavy.
"""
