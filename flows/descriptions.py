"""What the page of a deployment says about it in Prefect's UI: Markdown, with a diagram in Mermaid, which the UI draws."""

TRAIN = """\
Trains an image classifier and measures it; the result is a DVC experiment.

```mermaid
graph LR
  ingest --> preprocess --> train --> evaluate --> render
  build --> train
  preprocess --> build
  preprocess --> evaluate
  train --> render
```

| stage | what it does |
|---|---|
| ingest | copies the images of a source unchanged |
| preprocess | decodes and resizes them, and assigns them to three splits |
| build | makes the network and its initial weights |
| train | trains, and keeps the weights that are best on the validation split |
| evaluate | measures the accuracy on the test split |
| render | draws the curves and writes the report |

A stage whose inputs did not change is `Cached`. The run works in a checkout of `rev`; the project's folder stays as it is.

**Form.** A field that stays empty leaves its parameter as it is in `params.yaml` of the revision. While it trains, the artifact
`train-curves` of the run shows the curves; at its end, `results` has the accuracy, what was changed, and pictures. The list of
runs shows the accuracy in the name and the tags of a run.

    prefect deployment run train-resnet -p overrides='{"train.epochs": 3}' --watch
"""

SWEEP = """\
Trains once for each combination of values; each run is a DVC experiment.

```mermaid
graph LR
  grid["grid: 2 learning rates, 2 seeds"] --> check["all combinations are checked"]
  check --> a["run 1"] --> table["table, lowest validation loss first"]
  check --> b["run 2"] --> table
  check --> c["run 3"] --> table
  check --> d["run 4"] --> table
```

**Form.** Add the values to try to the fields of `grid`; fields that stay empty are not varied.

    prefect deployment run sweep -p grid='{"train.learning_rate": [0.001, 0.01], "seed": [0, 1]}' --watch
"""

SEARCH = """\
Searches for the parameters with the lowest validation loss; each trial is a DVC experiment. The test split is not used.

```mermaid
graph LR
  ranges["ranges and choices"] --> tpe["Optuna proposes values"] --> run["a run trains with them"]
  run -- validation loss --> tpe
  run --> table["table, lowest validation loss first"]
```

**Form.** `between` and `between_log` take the two ends of a range, `among` the values to choose from. Fields that stay empty
are not searched. With `prune`, all trials train to a ninth of the epochs, the best third of them to a third, and the best third
of those to the end, each from its checkpoint; `reports/search/index.html` in the project's folder shows them.

    prefect deployment run search -p between_log='{"train.learning_rate": [0.0001, 0.1]}' -p trials=10 --watch
"""

AUDIT = """\
Finds labels that are probably wrong: each image is predicted by a network that was not trained on it.

```mermaid
graph LR
  images["all images"] --> a["fold 1/5: a run trains without it"] --> probabilities["probabilities of each image"]
  images --> b["..."] --> probabilities
  images --> c["fold 5/5"] --> probabilities
  probabilities --> page["suspects, cross-validated accuracy"]
```

The page and the table of the suspects are in `reports/audit` of the project's folder.
"""
