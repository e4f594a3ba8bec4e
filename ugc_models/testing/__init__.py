"""Stand-ins for models, for tests and the demo: the engines that load them are the real ones."""
