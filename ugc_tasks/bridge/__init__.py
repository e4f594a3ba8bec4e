"""From one judge's scale to another's: a number that outlives its judge.

Begin with ``fit.py``: the map, its error and its verdict, pure statistics. ``document.py`` reads
and writes ``bridge.json``, and states a run's figures on the other scale. ``plan.py`` tells what a
bridge would cost and how wide it would be; ``recorded.py`` gets the authors' recorded captions.
"""
