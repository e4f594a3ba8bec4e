"""Decoding in processes of its own: beside the engine, and apart from what a clip may do to it."""
