"""Runs one ONNX graph with many adapters, and turns raw input into its tensors."""
