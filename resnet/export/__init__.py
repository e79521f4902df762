"""Export of a trained network as SavedModel, ONNX, LiteRT and plain Keras, with its preprocessing and class names."""
