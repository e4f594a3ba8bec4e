"""Engines elsewhere: ``vllm serve`` over HTTP, one server or several."""
