"""A free estimate of a caption's GPT-4o scores from the two texts alone: never a judgment.

How its figures were fitted, and how far off they are on other models: ``ugc_tasks/judge/README.md``.
"""
