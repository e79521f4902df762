"""Measures trained networks: predictions, metrics with confidence intervals, calibration and occlusion maps."""
