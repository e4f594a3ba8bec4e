"""The UGC-VideoCap benchmark as tasks of lmms-eval: data, questions, judges.

Knows nothing of any model's engine. Importing it loads nothing heavy.
"""
