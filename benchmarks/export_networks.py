"""Every network exported to float32 and int8: accepted by the check of bundles, and computing the same.

    python benchmarks/export_networks.py                    # those of `dspkd models`, and some of timm's
    python benchmarks/export_networks.py vit_tiny_patch16_224 --size 224

Random weights, random images. Each line: the seconds that it took, the largest difference of a logit from torch's, the
number of int8 settings that the check of bundles accepts and that compute finite logits, whether a batch gives the same
bits as its images alone (float32, int8), and the operators. A network that fails is named at the end, with status 1.
"""

import argparse
import sys
import time

import numpy as np
import torch

from dspkd.deploy.bundle import network, onnx_fields
from dspkd.deploy.export import onnx_graph, quantise
from dspkd.models import zoo

OTHERS = {
    "mobilenetv3_small_050": 64,
    "mobilenetv3_large_100": 64,
    "ghostnet_050": 64,
    "ghostnetv2_100": 64,
    "tf_efficientnetv2_b0": 64,
    "mobilenetv4_conv_small": 64,
    "mnasnet_small": 64,
    "fbnetc_100": 64,
    "regnety_002": 64,
    "densenet121": 64,
    "convnext_atto": 64,
    "convnextv2_atto": 64,
    "repvgg_a0": 64,
    "mobileone_s0": 64,
    "edgenext_xx_small": 64,
    "mobilevit_xxs": 64,
    "vit_tiny_patch16_224": 224,
    "deit_tiny_patch16_224": 224,
    "eva02_tiny_patch14_224": 224,
    "swin_tiny_patch4_window7_224": 224,
}
IMAGES = 16
SETTINGS = [setting for setting in quantise.SETTINGS if setting.ranges == "minmax"]  # ranges change no operator


def tried(name, size):
    """Return what export gives for a network: the words of a line."""
    torch.manual_seed(0)
    started = time.perf_counter()
    tapped = zoo.make(name, classes=8)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, size, size), np.uint8)
    (pixels,) = quantise.batches(images)
    fp32 = onnx_graph.to_onnx(tapped, size)
    difference = onnx_graph.largest_difference(tapped, fp32, pixels)
    ready, models = quantise.prepared(fp32), {"fp32": fp32}
    for setting in SETTINGS:
        models[str(setting)] = quantise.quantise(ready, setting, images)
    same = {}
    for label, model in models.items():
        runtime = network.session(model)
        network.check_shapes(runtime, size, 8)
        alone = np.concatenate([network.logits(runtime, image[None], 8) for image in pixels])
        same[label] = float(np.abs(alone - network.logits(runtime, pixels, 8)).max())
    operators = {node["op_type"] for model in models.values() for node in onnx_fields.read(model)["graph"]["node"]}
    largest = max(gap for label, gap in same.items() if label != "fp32")
    return (
        f"{time.perf_counter() - started:.0f} s, {difference:.1e}, {len(models) - 1} of {len(SETTINGS)}, "
        f"{same['fp32']:.1e} {largest:.1e}, {' '.join(sorted(operators))}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--size", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    failed = []
    for name in options.names or [*zoo.names(), *OTHERS]:
        try:
            words = tried(name, options.size or OTHERS.get(name, 64))
        except Exception as error:  # each network is tried, whatever its converter raises
            failed.append(name)
            words = f"{type(error).__name__}: {str(error)[:300]}"
        print(f"{name}: {words}", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
