"""Scores of a plain training script on a run's own split: the baseline that the framework must beat at equal time.

One file without a framework: images shrunk to 149x112, 96 px crops, flips, quarter turns, brightness and colour jitter,
AdamW with a one-cycle schedule, cross-entropy weighted by 1/sqrt(count), the last epoch evaluated.

    python benchmarks/plain_script.py runs/plain-0 --data ../shared/data/dermoscopy-150 \
        --weights ../shared/weights/shufflenet_v2_x1_0_coco_fp16.safetensors --epochs 15 --seed 0 \
        --predictions script-0.csv
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from torch.nn import functional as F

SIDE, MEAN, STD = 96, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="a run folder, for its split.csv")
    parser.add_argument("--data", type=Path, required=True, help="folder of the ISIC-2019 layout")
    parser.add_argument("--weights", type=Path, required=True, help="ShuffleNetV2 weights to start from")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--predictions", type=Path, help="write the test predictions there, for dspkd referee")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rows = list(csv.DictReader((args.run / "split.csv").open()))
    classes = sorted({row["label"] for row in rows})
    parts = {name: [row for row in rows if row["part"] == name] for name in ("train", "val", "test")}
    pixels = {name: torch.stack([pixels_of(args.data, row["id"]) for row in part]) for name, part in parts.items()}
    labels = {name: torch.tensor([classes.index(row["label"]) for row in part]) for name, part in parts.items()}
    network = torchvision.models.shufflenet_v2_x1_0(num_classes=len(classes))
    network.load_state_dict({k: v.float() for k, v in load_file(args.weights).items()}, strict=False)
    started = time.process_time()
    fit(network, pixels["train"], labels["train"], epochs=args.epochs, classes=len(classes))
    seconds = time.process_time() - started
    for part in ("val", "test"):
        logits = predictions(network, pixels[part])
        predicted, true = logits.argmax(1), labels[part].numpy()
        print(
            f"{part} seed {args.seed}: balanced accuracy {balanced_accuracy_score(true, predicted):.3f}  "
            f"macro F1 {f1_score(true, predicted, average='macro'):.3f}  "
            f"accuracy {accuracy_score(true, predicted):.3f}  training took {seconds:.0f} CPU seconds"
        )
    if args.predictions:
        with args.predictions.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "label", "group", *(f"logit_{name}" for name in classes)])
            for row, scores in zip(parts["test"], logits, strict=True):
                writer.writerow([row["id"], row["label"], row["group"], *(f"{score:.4f}" for score in scores)])


def pixels_of(data: Path, name: str) -> torch.Tensor:
    image = Image.open(data / "ISIC_2019_Training_Input" / f"{name}.jpg").convert("RGB").resize((149, 112))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def fit(network, pixels, labels, *, epochs: int, classes: int) -> None:
    weights = 1 / torch.bincount(labels, minlength=classes).float().sqrt()
    weights *= classes / weights.sum()
    steps = len(labels) // 64
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=epochs * steps)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels))[: steps * 64].split(64):
            loss = F.cross_entropy(network(normalised(augmented(pixels[chosen]))), labels[chosen], weight=weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def augmented(batch: torch.Tensor) -> torch.Tensor:
    images = []
    for image in batch:
        top = int(torch.randint(image.shape[1] - SIDE + 1, ()))
        left = int(torch.randint(image.shape[2] - SIDE + 1, ()))
        crop = image[:, top : top + SIDE, left : left + SIDE].rot90(int(torch.randint(4, ())), (1, 2)).float() / 255
        crop = crop.flip(2) if torch.rand(()) < 0.5 else crop
        light, colour = 1 + 0.2 * (2 * torch.rand(1) - 1), 1 + 0.1 * (2 * torch.rand(3, 1, 1) - 1)
        images.append((crop * light * colour).clamp(0, 1))
    return torch.stack(images)


def predictions(network, pixels) -> np.ndarray:
    network.eval()
    top, left = (pixels.shape[2] - SIDE) // 2, (pixels.shape[3] - SIDE) // 2
    middle = pixels[:, :, top : top + SIDE, left : left + SIDE].float() / 255
    with torch.inference_mode():
        return torch.cat([network(normalised(part)) for part in middle.split(128)]).numpy()


def normalised(images: torch.Tensor) -> torch.Tensor:
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


if __name__ == "__main__":
    main()
