"""Answers and scores: what of an answer is scored, saved answers, rows of clips, summaries.

Begin with ``answer_text.py`` (an answer) and ``rows.py`` (its row); saved answers are read in
``answers.py`` and scored in ``scoring.py``; files of scores are read in ``scores.py``.
"""
