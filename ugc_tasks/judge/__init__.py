"""The judge: scores for a model's answer about a clip, given the reference.

Start at ``judge.py``; what can be judged is in ``protocol/questions.py``, who judges it in
``protocol/profiles.py``. Importing this package loads nothing heavy.
"""
