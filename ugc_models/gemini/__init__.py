"""The Gemini API as an engine: files as they are, and every reply paid for.

Open ``engine.py`` first: what becomes of a request. ``client.py`` has one exchange and what its
failure means, ``uploads.py`` the files that are at Google's, ``cost.py`` what it costs.
"""
