"""Load for HTTP servers, made cheaply enough to share the machine with the server it measures."""
