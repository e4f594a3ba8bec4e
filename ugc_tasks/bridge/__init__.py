"""From one judge's scale to another's: a number that outlives its judge.

Begin with ``line.py``: the map and its error, pure statistics; ``fit.py`` has its verdict.
``document.py`` makes ``bridge.json``, ``restate.py`` reads it and states a run's figures on the
other scale. ``plan.py`` tells what a bridge would cost and how wide it would be; ``recorded.py``
gets the authors' recorded captions.
"""
