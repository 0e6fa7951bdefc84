from dataclasses import replace

import numpy as np
import pytest
import torch

from dspkd.types import Batch, NetworkSpec, Output

CLASSES = 8
STUDENT = {"stride4": 3, "stride8": 4, "stride16": 5, "stride32": 6, "last": 7}
TEACHER = {"stride4": 4, "stride8": 6, "stride16": 8, "stride32": 10, "last": 9}
GRID = {"stride4": 16, "stride8": 8, "stride16": 4, "stride32": 2, "last": 2}


class Nets:
    """Shapes and outputs of small networks, seeded."""

    student = NetworkSpec(CLASSES, STUDENT["last"], STUDENT, class_counts=(40, 120, 30, 8, 24, 3, 4, 6))
    teacher = NetworkSpec(CLASSES, TEACHER["last"], TEACHER)
    grid = GRID

    def answer(self, spec, batch=5, *, seed=0, grid=None, dtype=torch.float32, several=True):
        torch.manual_seed(seed)
        maps = {t: torch.randn(batch, c, (grid or GRID)[t], (grid or GRID)[t]) for t, c in spec.channels.items()}
        logits, pooled = 3 * torch.randn(batch, spec.classes), torch.randn(batch, spec.pooled)
        own = Output(logits.to(dtype), pooled.to(dtype), {t: x.to(dtype) for t, x in maps.items()})
        if not several:
            return own
        others = {"grid": grid, "dtype": dtype, "several": False}
        rotated = self.answer(spec, 3 * batch, seed=seed + 100, **others)
        return replace(own, rotated=rotated, strong_aug=self.answer(spec, batch, seed=seed + 200, **others))

    def pair(self, batch=5, **changes):
        return self.answer(self.student, batch, **changes), self.answer(self.teacher, batch, **changes | {"seed": 1})

    def batch(self, size=5):
        rows = torch.arange(size)
        return Batch(torch.zeros(size, 3, 8, 8), rows * 3 % CLASSES, rows, torch.zeros_like(rows))

    def leaves(self, output):
        """Return the tensors of `output`, which then collect gradients."""
        others = [leaf for other in (output.rotated, output.strong_aug) if other for leaf in self.leaves(other)]
        return [x.requires_grad_() for x in (output.logits, output.pooled, *output.maps.values())] + others


@pytest.fixture(scope="session")
def nets():
    return Nets()


class Golden:
    """Inputs, losses and gradients of the authors' own code, in float64."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __getitem__(self, name):
        return torch.from_numpy(self.arrays[name])

    def specs(self):
        student, teacher = self["student_map"].shape[1], self["teacher_map"].shape[1]
        return NetworkSpec(CLASSES, student, {"last": student}), NetworkSpec(CLASSES, teacher, {"last": teacher})

    def check(self, case, term, of, *, weight=1.0, rtol=1e-9, atol=1e-12):
        """Assert loss and gradient of `term` for `case`; `of` is "logits", "pooled" or "map" of the student."""
        inputs = {name: self[f"student_{name}"].clone().requires_grad_() for name in ("logits", "pooled", "map")}
        student = Output(inputs["logits"], inputs["pooled"], {"last": inputs["map"]})
        teacher = Output(self["teacher_logits"], self["teacher_pooled"], {"last": self["teacher_map"]})
        rows = torch.arange(len(self["target"]))
        loss = weight * term.double()(student, teacher, Batch(rows, self["target"], rows, rows))
        loss.backward()
        torch.testing.assert_close(loss, self[f"{case}__loss"], rtol=rtol, atol=atol)
        torch.testing.assert_close(inputs[of].grad, self[f"{case}__grad"], rtol=rtol, atol=atol)


@pytest.fixture(scope="session")
def golden(shared):
    with np.load(shared / "golden" / "losses.npz") as arrays:
        return Golden(dict(arrays))


@pytest.fixture(scope="session")
def golden_priors(shared):
    """Cases for the class counts of ISIC 2019; with the maps of `golden`, which no case reads."""
    with np.load(shared / "golden" / "losses.npz") as maps, np.load(shared / "golden" / "losses2.npz") as arrays:
        return Golden({**maps, **arrays})
