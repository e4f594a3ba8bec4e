"""What a compressed picture is good for, read from its first bytes, without decoding it."""
