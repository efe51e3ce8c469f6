"""Answers predictions: HTTP, batching, routing, recording."""
