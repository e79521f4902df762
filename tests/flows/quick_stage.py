"""Stands in for the stages in tests of flows: writes the outputs that `dvc.yaml` lists, with content made from the parameters.

Some parameters have a special meaning. train.momentum 0.123 is a mistake of the user's; 0.321 makes the stage die by SIGKILL;
0.231 does so the first time only. An epoch takes 0.05 s. The file $QUICK_NOTES gets a line when training begins, with its
GPUs, and one when it ends. With $TRAIN_RESNET_STOP_AFTER it pauses and goes on as training does, and notes each epoch.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def main(stage: str) -> int:
    """Runs a stage."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    stages = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]
    entry = stages[stage]
    inputs = {Path(dep) for other in stages.values() for dep in other["deps"]}
    content = json.dumps({"stage": stage, "seed": params["seed"], "params": params[stage]}, sort_keys=True)
    code = train(params["train"]) if stage == "train" else 0
    if code:
        return code
    for kind in ("outs", "metrics", "plots"):
        for item in entry.get(kind, []):
            path = Path(item if isinstance(item, str) else next(iter(item)))
            inside = [inner for inner in inputs if path in inner.parents]
            for output in inside or [path]:
                output.parent.mkdir(parents=True, exist_ok=True)
                if output.name == "history.csv" and "TRAIN_RESNET_STOP_AFTER" in os.environ:
                    continue
                write(output, content, params)
    print(f"{stage}: done")
    return code


def train(params: dict[str, float]) -> int:
    """Prints the lines that training prints."""
    note("begin", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if params["momentum"] == 0.123:
        sys.exit("train: the momentum is not to my taste; choose another one.")
    if params["momentum"] == 0.321 or (params["momentum"] == 0.231 and note("dies") == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    epochs = int(params["epochs"])
    if until := os.environ.get("TRAIN_RESNET_STOP_AFTER"):
        return train_in_parts(params, epochs, min(int(until), epochs))
    record(event="start", epochs=epochs, steps=1, epoch=1, step=0)
    for epoch in range(1, epochs + 1):
        print(f"epoch {epoch}/{params['epochs']}: loss {1 / epoch:.4f}")
        figures = dict.fromkeys(("accuracy", "val_loss", "val_accuracy", "learning_rate", "images_per_second"), 0.5)
        record(event="epoch", epoch=epoch, seconds=0.05, loss=1 / epoch, **figures)
        time.sleep(0.05)
    note("end")
    return 0


def train_in_parts(params: dict[str, float], epochs: int, until: int) -> int:
    """Trains up to an epoch; a file in the folder of the run stands for its checkpoint."""
    name = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:16]
    done = Path(os.environ["DVC_ROOT"]) / ".dvc" / "tmp" / "checkpoints" / name / "done"
    done.parent.mkdir(parents=True, exist_ok=True)
    first = int(done.read_text()) + 1 if done.exists() else 1
    record(event="start", epochs=epochs, steps=1, epoch=first, step=0, run=name)
    for epoch in range(first, until + 1):
        time.sleep(0.05)
        done.write_text(str(epoch))
        note("epoch", name, str(epoch))
    rows = [f"{epoch},{params['learning_rate'] / epoch},0.5" for epoch in range(1, until + 1)]
    Path("reports").mkdir(exist_ok=True)
    Path("reports/history.csv").write_text("\n".join(["epoch,val_loss,val_accuracy", *rows, ""]), encoding="utf-8")
    record(event="end", outcome="finished" if until == epochs else "paused", epochs=until, message="")
    print(f"train: at epoch {until}")
    return 0 if until == epochs else 75


def record(**event: object) -> None:
    """Adds an event to the record that the flow reads."""
    if name := os.environ.get("TRAIN_RESNET_EVENTS"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with Path(name).open("a", encoding="utf-8") as file:
            print(json.dumps({"time": time.time(), **event}), file=file)


def note(*words: str | None) -> int:
    """Adds a line to the notes; returns the number of such lines."""
    path = Path(os.environ["QUICK_NOTES"])
    with path.open("a", encoding="utf-8") as file:
        print(*words, file=file)
    return path.read_text("utf-8").split("\n").count(" ".join(map(str, words)))


def write(path: Path, content: str, params: dict[str, dict[str, float]]) -> None:
    """Writes an output in the format that its readers expect."""
    fold = str(params["preprocess"]["fold"] or "")
    if fold and path.name in OF_FOLDS:
        write_fold(path, *map(int, fold.split("/")))
    elif path.name == "metrics.json":
        accuracy = 1 - params["train"]["learning_rate"]
        figures = {"accuracy": accuracy, "accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.01, "images": 359}
        path.write_text(json.dumps(figures), encoding="utf-8")
    elif path.name == "history.csv":
        path.write_text(f"epoch,val_loss\n1,{params['train']['learning_rate']}\n2,9\n", encoding="utf-8")
    elif path.name == "training.json":
        path.write_text('{"epoch": 2}', encoding="utf-8")
    elif path.suffix == ".png":
        path.write_bytes(PIXEL)
    elif path.suffix:
        path.write_text(content, encoding="utf-8")
    else:
        path.mkdir(exist_ok=True)
        (path / "x").write_text(content, encoding="utf-8")


OF_FOLDS = ("raw", "classes.json", "predictions.csv", "evaluation")


def write_fold(path: Path, number: int, folds: int) -> None:
    """Writes what an audit reads: 20 cats and 20 dogs. The networks know them, but number 3 is labelled as a dog."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = range(40)
    tested = [n for n in images if n % folds == number - 1]
    right = {n: "cat" if n < 20 else "dog" for n in images}
    labels = right | {3: "dog"}
    if path.name == "classes.json":
        path.write_text('["cat", "dog"]', encoding="utf-8")
    elif path.name == "raw":
        path.mkdir(exist_ok=True)
        rows = "".join(f"{n}.png,{labels[n]},{n:064x}\n" for n in images)
        (path / "manifest.csv").write_text(f"path,label,pixel_hash\n{rows}", encoding="utf-8")
        table = pa.table({"image": [{"bytes": PIXEL, "path": f"{n}.png"} for n in images]})
        pq.write_table(table, path / "images-00000.parquet")
    elif path.name == "evaluation":
        path.mkdir(exist_ok=True)
        cats = np.array([0.95 - n / 1000 if right[n] == "cat" else 0.05 + n / 1000 for n in tested], np.float32)
        np.save(path / "probabilities.npy", np.stack([cats, 1 - cats], axis=1))
    else:
        rows = "".join(f"{n}.png,{labels[n]},{right[n]},0.9,0.9\n" for n in tested)
        path.write_text(f"path,label,predicted,probability,label_probability\n{rows}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
