"""A free estimate of a caption's GPT-4o scores from the two texts alone: never a judgment.

Begin with ``model.py``. How its figures were fitted, and how far off they are on models that they
were not fitted to: ``ugc_tasks/judge/README.md``.
"""
