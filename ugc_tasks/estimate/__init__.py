"""A free estimate of a caption's GPT-4o scores from the two texts alone: never a judgment.

How it was fitted, and how far off it is on other models: ``docs/judges.md``.
"""
