"""From a run to what others can check and use: a bundle, its verification, and other formats.

``bundle.py`` makes a bundle, ``verify.py`` recomputes every number in it, ``exports.py`` and
``every_eval_ever.py`` write it as others read it, ``leaderboard.py`` puts bundles side by side.
"""
