"""Models for lmms-eval that turn a clip with its sound into a caption.

Begin with ``qwen_omni_vllm.py``. Knows nothing of any benchmark. Importing it loads nothing heavy.
"""
