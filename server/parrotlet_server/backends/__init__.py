"""What runs the model: one interface, and ONNX Runtime behind it."""
