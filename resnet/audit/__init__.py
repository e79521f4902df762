"""Finds images whose labels may be wrong, from predictions of networks that were not trained on them."""
