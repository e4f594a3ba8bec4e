"""A free estimate of a caption's GPT-4o scores from the two texts alone: never a judgment.

``estimate`` is the door; ``interval`` says how far off the mean of estimates may be, ``unlike``
which captions the fit knows nothing of. ``benchmarks/fit_offline.py`` makes the figures behind all
three, and prints how far off they are on models that they were not fitted to.
"""

from ugc_tasks.estimate.interval import difference_interval, interval
from ugc_tasks.estimate.model import estimate
from ugc_tasks.estimate.unlike import unlike
from ugc_tasks.estimate.weights import Weights, load_weights

__all__ = ["Weights", "difference_interval", "estimate", "interval", "load_weights", "unlike"]
