"""The report of a run, or of several, as one HTML file: begin with ``page.py``.

``page.html.j2``, ``page.css`` and ``page.js`` are what is in it; ``charts.py`` draws its plots,
``posters.py`` takes a frame of each clip.
"""
