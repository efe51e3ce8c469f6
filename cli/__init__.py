"""The command line: one command group a file, and the only place that wires everything."""
