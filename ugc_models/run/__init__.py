"""A run: requests in, answers out. Begin with ``pipeline.py``.

``inputs.py`` makes the engine's input of what was read, ``backend.py`` is what answers,
``rounds.py`` asks again, ``outcomes.py`` counts what was not answered, ``interrupts.py`` is Ctrl-C.
"""
