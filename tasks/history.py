"""The columns of `reports/history.csv`, which `train` writes and `render` reads."""

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
