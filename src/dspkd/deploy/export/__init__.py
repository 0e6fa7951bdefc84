"""Make a bundle from a finished run: ONNX, int8, model card, certificate."""
