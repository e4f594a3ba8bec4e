"""Which texts are seen in the clip: reading such answers and comparing them."""
