"""Reading what others, and we, have written to disk: answers of models, scores of judges."""
