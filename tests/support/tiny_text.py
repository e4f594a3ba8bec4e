"""A tiny text model as a judge on this machine: a random Qwen2 of a megabyte, with a chat template.

Its scores mean nothing; that they are scores is the schema's doing.
"""

from __future__ import annotations

from pathlib import Path

from ugc_models.testing.tiny_model import END_OF_TEXT, END_OF_TURN, train_tokenizer

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LENGTH = 8192  # tokens: a judge's prompt in a vocabulary of 448


def build_tiny_text(folder: Path) -> Path:
    """Write the checkpoint into ``folder`` and return it."""
    import torch
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(),
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        model_max_length=LENGTH,
    )
    tokenizer.chat_template = _TEMPLATE
    torch.manual_seed(0)
    model = transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,  # of 32, which vLLM's attention on a CPU takes
            num_key_value_heads=1,
            max_position_embeddings=LENGTH,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
