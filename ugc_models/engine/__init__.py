"""Engines: a prompt with frames and sound in, tokens out."""
