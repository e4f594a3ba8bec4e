"""What a judge is asked, and in which words. Start at ``profiles.py``."""
