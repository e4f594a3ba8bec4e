"""The command ``ugc-videocap``: begin with ``main.py``; each command has a module."""
