"""How good a trained network is, and with what certainty."""
