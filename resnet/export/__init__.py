"""Export of a trained network as SavedModel, ONNX, LiteRT, Keras and OpenVINO, with its preprocessing and class names."""
