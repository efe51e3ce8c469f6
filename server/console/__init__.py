"""Pages for people, rendered here, without any request to elsewhere."""
