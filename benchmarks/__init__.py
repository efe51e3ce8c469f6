"""What we measure: one script a claim, each run as `python -m benchmarks.NAME`, one line a figure with its unit."""
