"""How requests reach an endpoint: the client, what its failures mean, retries, and the pace."""
