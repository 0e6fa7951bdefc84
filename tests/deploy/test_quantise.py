"""The effect of each setting on a network: bits of the weights, scales, ends, steps of the logits."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from dspkd.deploy.export import int8_gate, quantise
from dspkd.deploy.export.quantise import QuantSetting
from serving import network

SIZE, CHANNELS = 32, {"w1": 8, "w2": 16, "w3": 4}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (32, 3, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def quantised(images):
    """The network under a setting, and its initial values by name."""
    ready = quantise.prepared(network(size=SIZE))

    def under(setting):
        model = quantise.quantise(ready, setting, images)
        values = onnx.load_from_string(model).graph.initializer
        return model, {value.name: numpy_helper.to_array(value) for value in values}

    return under


def weights(values):
    """Return the int8 weights by their name in float32."""
    quantised = {name: values.get(f"{name}_quantized") for name in CHANNELS}
    return {name: value for name, value in quantised.items() if value is not None}


def test_weights_with_a_reduced_range_have_seven_bits(quantised):
    """A sum of two products, each at most 255 x 64, then fits 16 bits with a sign, as processors without VNNI need."""
    largest = {
        reduce: max(
            abs(value.astype(int)).max() for value in weights(quantised(QuantSetting(reduce_range=reduce))[1]).values()
        )
        for reduce in (True, False)
    }
    assert 60 <= largest[True] <= 64
    assert 2 * 255 * largest[True] < 2**15
    assert largest[False] > 100


@pytest.mark.parametrize("per_channel", [True, False])
def test_per_channel_each_output_has_its_own_scale(quantised, per_channel):
    values = quantised(QuantSetting(per_channel=per_channel))[1]
    scales = {name: values[f"{name}_scale"].size for name in ("w1", "w2")}
    assert scales == ({name: CHANNELS[name] for name in scales} if per_channel else {"w1": 1, "w2": 1})


def test_float_ends_are_the_first_convolution_and_the_classifier(quantised):
    assert set(weights(quantised(QuantSetting())[1])) == {"w1", "w2", "w3"}
    assert set(weights(quantised(QuantSetting(float_ends=True))[1])) == {"w2"}


def test_quantised_logits_are_multiples_of_the_step(quantised, images):
    model, _ = quantised(QuantSetting())
    step = quantise.step(model)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images[:8].astype(np.float32) / 255})
    assert step > 0
    np.testing.assert_allclose(logits / step, np.rint(logits / step), atol=1e-3)
    assert np.ptp(logits) > 3 * step
    assert quantise.step(quantised(replace(QuantSetting(), float_ends=True))[0]) == 0


@pytest.mark.parametrize(("images", "most"), [(1, 1), (12, 1), (50, 1), (51, 1.02), (1000, 20)])
def test_a_class_may_lose_its_share_or_a_single_image(images, most):
    assert int8_gate.allowed(images, 0.02) == pytest.approx(most)


def test_the_best_portable_setting_that_passes_is_chosen():
    def trial(divergence, *, passes=True, **setting):
        return quantise.QuantTrial(quantise.QuantSetting(**setting), b"", None, {}, 1.0, divergence, passes)

    plain, close, wide = trial(0.3), trial(0.1, passes=False), trial(0.01, reduce_range=False)
    assert quantise._best([close, plain, wide]) is plain
    assert quantise._best([close, wide]) is close
