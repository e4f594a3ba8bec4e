"""Captions, of the whole clip or of its sound or picture alone. The judge scores them."""
