"""Watches: windows against references, the drift decision, the retrain policy, the schedule."""
