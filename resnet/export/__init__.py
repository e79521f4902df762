"""A trained network for other programs: as SavedModel, ONNX, LiteRT and plain Keras, with its preprocessing and its classes."""
