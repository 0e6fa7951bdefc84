"""From a float32 ONNX graph to int8: several settings are tried, and validation images choose one."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from scipy.special import log_softmax

from dspkd.deploy.bundle.network import INPUT, OUTPUT
from dspkd.deploy.export.duration import roughly
from dspkd.deploy.export.int8_gate import allowed
from dspkd.deploy.export.onnx_graph import strip
from dspkd.evaluation.predictions import Predictions

BATCH = 16
_CALIBRATION_BYTES = 1_000_000_000
"""Memory for activations in calibration by histograms: ONNX Runtime keeps those of all images at once."""

_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


@dataclass(frozen=True, kw_only=True)
class QuantSetting:
    """A way to quantise; weights are int8 and symmetric in all.

    Attributes
    ----------
    activations
        ``uint8``, or ``int8``, symmetric.
    ranges
        How the range of a tensor follows from the calibration images: ``minmax``, ``percentile`` (99.999), ``entropy``.
    per_channel
        Whether each output channel of a convolution has its own scale.
    reduce_range
        Whether weights use 7 bits. x86 processors without VNNI add two products in 16 bits, which 8-bit weights
        overflow: the same file then gives other predictions there.
    float_ends
        Whether the first convolution and the classifier stay in float32.
    """

    activations: str = "uint8"
    ranges: str = "minmax"
    per_channel: bool = True
    reduce_range: bool = True
    float_ends: bool = False

    @property
    def portable(self) -> bool:
        """Whether every processor computes the same, so that measurements here hold elsewhere."""
        return self.reduce_range

    def __str__(self) -> str:
        kind = {"uint8": "U8S8", "int8": "S8S8"}[self.activations]
        words = [kind, self.ranges, "per channel" if self.per_channel else "per tensor"]
        words += ["7-bit weights"] * self.reduce_range + ["ends in float32"] * self.float_ends
        return ", ".join(words)


SETTINGS = (
    QuantSetting(),
    QuantSetting(ranges="percentile"),
    QuantSetting(ranges="entropy"),
    QuantSetting(per_channel=False),
    QuantSetting(reduce_range=False),
    QuantSetting(activations="int8", reduce_range=False),
)
"""The settings tried first; the best portable one is then tried with its ends in float32."""

TRIALS = len(SETTINGS) + 1


@dataclass(frozen=True)
class QuantTrial:
    """A setting, its model, and its results on validation images.

    Attributes
    ----------
    lost
        ``{class: images}``: correct predictions of float32 less those of int8; negative where int8 gains.
    agreement
        Mean over classes of the share of a class's images for which int8 and float32 predict the same class.
    divergence
        Mean over classes of the mean of KL(float32 || int8), in nats.
    passes
        Whether no class loses more than is allowed.
    """

    setting: QuantSetting
    model: bytes
    predictions: Predictions
    lost: dict[str, int]
    agreement: float
    divergence: float
    passes: bool

    def to_json(self) -> dict[str, Any]:
        """Return all but model and predictions, as plain data."""
        return {
            "setting": str(self.setting),
            **asdict(self.setting),
            "portable": self.setting.portable,
            "bytes": len(self.model),
            "lost": self.lost,
            "agreement": round(self.agreement, 6),
            "divergence": round(self.divergence, 6),
            "passes": self.passes,
        }


def search(
    fp32: bytes,
    reference: Predictions,
    calibration_N3SS: NDArray[np.uint8],
    predict: Callable[[bytes], Predictions],
    *,
    max_loss: float,
    log: Callable[[str], None],
) -> tuple[QuantTrial, list[QuantTrial]]:
    """Quantise with several settings; return the best portable trial, and all trials.

    The best is one that passes before one that does not, then the one with the least divergence from float32.

    Parameters
    ----------
    fp32
        The graph.
    reference
        Its predictions for the validation images.
    calibration_N3SS
        Training images, before the division by 255.
    predict
        Returns a model's predictions for the validation images.
    max_loss
        How much of its recall a class may lose; a single image of it is always allowed.
    log
        Called with a line about each setting.
    """
    ready = prepared(fp32)

    started = time.perf_counter()
    trials: list[QuantTrial] = []

    def attempt(setting: QuantSetting) -> None:
        model = quantise(ready, setting, calibration_N3SS)
        trial = compare(setting, model, reference, predict(model), max_loss=max_loss)
        trials.append(trial)
        left = (time.perf_counter() - started) / len(trials) * (TRIALS - len(trials))
        log(
            f"int8, {setting}: agreement {trial.agreement:.4f}, {'passes' if trial.passes else 'loses too much'} "
            f"({len(trials)} of {TRIALS}{f', {roughly(left)} to go' if left else ''})"
        )

    for setting in SETTINGS:
        attempt(setting)
    attempt(replace(_best(trials).setting, float_ends=True))
    return _best(trials), trials


def _best(trials: Sequence[QuantTrial]) -> QuantTrial:
    return min((t for t in trials if t.setting.portable), key=lambda t: (not t.passes, t.divergence))


def compare(
    setting: QuantSetting, model: bytes, reference: Predictions, quantised: Predictions, *, max_loss: float
) -> QuantTrial:
    """Compare a quantised model with float32 on the same images; see `QuantTrial`."""
    log_p_NK = log_softmax(reference.logits.astype(np.float64), axis=1)
    log_q_NK = log_softmax(quantised.logits.astype(np.float64), axis=1)
    divergence_N = (np.exp(log_p_NK) * (log_p_NK - log_q_NK)).sum(axis=1)
    same_N = reference.predicted == quantised.predicted
    gained_N = (quantised.predicted == reference.labels).astype(int) - (reference.predicted == reference.labels)
    of = {name: reference.labels == number for number, name in enumerate(reference.classes)}
    present = {name: mine_N for name, mine_N in of.items() if mine_N.any()}
    lost = {name: -int(gained_N[mine_N].sum()) for name, mine_N in present.items()}
    return QuantTrial(
        setting=setting,
        model=model,
        predictions=quantised,
        lost=lost,
        agreement=float(np.mean([same_N[mine_N].mean() for mine_N in present.values()])),
        divergence=float(np.mean([divergence_N[mine_N].mean() for mine_N in present.values()])),
        passes=all(lost[name] <= allowed(int(mine_N.sum()), max_loss) for name, mine_N in present.items()),
    )


def quantise(ready: bytes, setting: QuantSetting, calibration_N3SS: NDArray[np.uint8]) -> bytes:
    """Return a `prepared` graph in int8, as QDQ: standard operators between QuantizeLinear and DequantizeLinear."""
    model = onnx.load_from_string(ready)
    if setting.ranges != "minmax":
        most = max(BATCH, min(len(calibration_N3SS), _CALIBRATION_BYTES // _activation_bytes(model)))
        calibration_N3SS = calibration_N3SS[: most // BATCH * BATCH]  # histograms need batches of one size
    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            out,
            CalibrationImages(calibration_N3SS),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8 if setting.activations == "uint8" else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=setting.per_channel,
            reduce_range=setting.reduce_range,
            calibrate_method=_METHODS[setting.ranges],
            nodes_to_exclude=_ends(model) if setting.float_ends else [],
            extra_options={"ActivationSymmetric": setting.activations == "int8"},
        )
        quantised = onnx.load(out)
    strip(quantised)
    content: bytes = quantised.SerializeToString()
    return content


class CalibrationImages(CalibrationDataReader):  # type: ignore[misc]
    """Feeds images, kept in 8 bits, to ONNX Runtime's calibration in batches."""

    def __init__(self, images_N3SS: NDArray[np.uint8]) -> None:
        self._batches = batches(images_N3SS)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def batches(images_N3SS: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    """Yield batches of network inputs: float32 in [0, 1]."""
    for start in range(0, len(images_N3SS), BATCH):
        yield np.divide(images_N3SS[start : start + BATCH], np.float32(255), dtype=np.float32)


def prepared(fp32: bytes) -> bytes:
    """Return the graph with inferred shapes and folded constants, ready for quantisation."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "prepared.onnx"
        before.write_bytes(fp32)
        quant_pre_process(before, after, skip_symbolic_shape=True)
        return after.read_bytes()


def _ends(model: onnx.ModelProto) -> list[str]:
    """Return the names of the first convolution and of the last matrix product."""
    products = [node.name for node in model.graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    return [products[0], products[-1]]


def step(model: bytes) -> float:
    """Return the quantisation step of the logits; 0 where they are not quantised."""
    graph = onnx.load_from_string(model).graph
    last = next(node for node in graph.node if OUTPUT in node.output)
    if last.op_type != "DequantizeLinear":
        return 0.0
    scale = next(weights for weights in graph.initializer if weights.name == last.input[1])
    return float(onnx.numpy_helper.to_array(scale))


def _activation_bytes(model: onnx.ModelProto) -> int:
    """Return the bytes of all activations of one image in float32."""
    count = 0
    for value in model.graph.value_info:
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim[1:]]
        count += int(np.prod(sides)) if sides else 0
    return 4 * max(1, count)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what ONNX Runtime's quantiser prints and logs."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
