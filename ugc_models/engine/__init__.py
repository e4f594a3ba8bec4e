"""Engines: a prompt with frames and sound in, tokens out. Begin with ``base.py``.

``local.py`` is vLLM on this machine, ``supervisor.py`` starts it again when it dies, ``server/`` is
``vllm serve`` elsewhere. ``positions.py`` corrects where vLLM puts the sound of a video.
"""
