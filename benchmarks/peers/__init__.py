"""driftgate beside the servers that one could pick instead: the same machine, model, texts and questions."""
