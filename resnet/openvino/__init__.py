"""Networks in OpenVINO, built from folded weights: for predictions without TensorFlow, and for exports."""
