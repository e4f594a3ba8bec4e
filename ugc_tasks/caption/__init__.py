"""Captions, of the whole clip or of one side of it, judged on picture, sound and details."""
