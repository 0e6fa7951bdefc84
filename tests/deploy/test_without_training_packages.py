"""Reading and using a bundle needs none of the packages of training."""

import subprocess
import sys

import pytest

TRAINING = (
    "torch", "torchvision", "timm", "scipy", "sklearn", "onnx", "matplotlib", "huggingface_hub", "safetensors",
    "jinja2", "tomli_w",
)  # fmt: skip
BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
from dspkd.cli import app
app({arguments!r})
"""


@pytest.mark.parametrize("command", ["verify", "predict", "--out", "--isic-csv"])
def test_reading_a_bundle_needs_no_package_of_training(bundle, photographs, tmp_path, command):
    arguments = {
        "verify": ["verify", str(bundle)],
        "predict": ["predict", str(bundle), str(photographs[0]), "--json"],
        "--out": ["predict", str(bundle), str(photographs[0]), "--out", str(tmp_path / "a.csv"), "--workers", "0"],
        "--isic-csv": ["predict", str(bundle), str(photographs[0]), "--isic-csv", str(tmp_path / "a.csv")],
    }[command]
    program = BLOCKED.format(blocked=TRAINING, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_blocked_packages_are_what_training_needs():
    program = BLOCKED.format(blocked=TRAINING, arguments=["models"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'dspkd[train]'" in done.stderr
