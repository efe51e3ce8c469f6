"""What all processes share: settings, records, artifacts. Nothing here knows of HTTP, ONNX or torch."""
