"""Run the Core ML files of this folder on its golden images, and add the result to the certificate. For a Mac.

Needs coremltools and numpy alone: ``python run_on_a_mac.py``. Ends with 1 if a file is wrong.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import coremltools
import numpy as np

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Run every file that was never run, and write what came out."""
    certificate = json.loads((FOLDER / "conversion.json").read_text(encoding="utf-8"))
    golden = np.load(FOLDER / "golden.npz")
    where = f"macOS {platform.mac_ver()[0]}, {platform.machine()}, coremltools {coremltools.__version__}"
    lines = []
    for record in certificate["files"]:
        for name in record["files"]:
            if record["format"] != "coreml" or not (FOLDER / name).exists():
                continue
            error = largest_error(FOLDER / name, golden["images"], golden["logits"])
            fails = record["precision"] == "fp32" and not error <= certificate["largest error"]
            verdict = f"FAILS: a logit of a golden image differs by {error:.2g}" if fails else "passes on golden images"
            if record["precision"] != "fp32":
                verdict = f"RECALL NOT MEASURED; logits of golden images within {error:.2g}"
            bundle = certificate["bundle"]
            holds = verdict.startswith("passes") and bundle["default"] == "fp32" and not bundle["always refers"]
            thresholds = "yes" if holds else "no: always refer"
            record |= {"error": error if np.isfinite(error) else None, "verdict": verdict, "run on": where}
            record["thresholds measured for this file"] = thresholds
            lines.append(f"{name}: {verdict}; thresholds measured for this file: {thresholds}")
    (FOLDER / "conversion.json").write_text(json.dumps(certificate, indent=2) + "\n", encoding="utf-8")
    with (FOLDER / "conversion.md").open("a", encoding="utf-8") as page:
        page.write("\n".join(["", f"## Run on a Mac: {where}", "", *(f"- {line}" for line in lines), ""]))
    print("\n".join(lines) or "no Core ML file in this folder")
    return int(not lines or any("FAILS" in line for line in lines))


def largest_error(package: Path, images: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of a logit from the expected ones, over images in 8 bits."""
    network = coremltools.models.MLModel(str(package))
    rows = [network.predict({"images": np.float32(image[None]) / np.float32(255)})["logits"] for image in images]
    error = float(np.abs(np.stack(rows).reshape(expected.shape) - expected).max())
    return error if np.isfinite(error) else float("inf")


if __name__ == "__main__":
    sys.exit(main())
