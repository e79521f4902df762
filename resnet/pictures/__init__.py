"""Figures and HTML pages: curves, confusion matrix, samples, the report, the data report and the model card."""
