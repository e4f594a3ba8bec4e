"""What lmms-eval asks: messages (``prompt.py``) and how to answer (``generation.py``)."""
