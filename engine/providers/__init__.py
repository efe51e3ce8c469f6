"""Execution providers: where and how a graph runs. One file each, behind engine.providers.seam."""
