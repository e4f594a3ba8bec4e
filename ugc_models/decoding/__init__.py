"""Reading clips in worker processes: beside the engine, and apart from what a clip may do to it.

Open ``pool.py`` first; ``worker.py`` is the process, and what it answers.
"""
