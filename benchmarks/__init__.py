"""What the project costs and gains beside other ways; see README.md.

Open ``media.py`` first: it compares reading a clip with what others do. ``report.py`` is what all
of them print and keep.
"""
