"""The benchmark's data: where they are, what they say, and whether they are all there.

Start with ``questions`` (annotations), ``home`` (folders), or ``prepare`` (getting everything).
"""
