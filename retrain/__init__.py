"""Learns: snapshots, audit, training, evaluation, export, gate."""
