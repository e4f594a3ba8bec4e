"""Reading clips: a video file in, small upright frames and 16 kHz sound out, bounded.

``clip.read_clip`` is the way in. Nothing is imported here, so that importing the package is cheap.
"""
