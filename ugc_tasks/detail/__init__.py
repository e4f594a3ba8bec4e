"""Questions about a detail of a clip, its changing background or its objects; judged."""
