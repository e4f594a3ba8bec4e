"""Questions with options: voice source, tone, background music."""
