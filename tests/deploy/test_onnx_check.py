"""An ONNX file that is not as `dspkd export` writes it is refused before ONNX Runtime sees it."""

import contextlib

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dspkd.deploy.bundle import onnx_check, onnx_fields
from dspkd.deploy.bundle.network import session
from dspkd.errors import BundleError
from hostile_networks import HOSTILE, external_data, of
from serving import in_int8, network


def test_networks_of_both_precisions_are_accepted_and_read_as_onnx_reads_them():
    fp32 = network()
    for model in (fp32, in_int8(fp32, 32)):
        onnx_check.check(model)
        graph, expected = onnx_fields.read(model)["graph"], onnx.load_from_string(model).graph
        assert [node["op_type"] for node in graph["node"]] == [node.op_type for node in expected.node]
        assert [node["input"] for node in graph["node"]] == [list(node.input) for node in expected.node]
        assert [(t["name"], t["dims"]) for t in graph["initializer"]] == [
            (t.name, list(t.dims)) for t in expected.initializer
        ]
        assert [bytes(t["raw_data"] or b"") for t in graph["initializer"]] == [t.raw_data for t in expected.initializer]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_export_does_not_write_is_refused(name):
    model, message = HOSTILE[name]
    with pytest.raises(BundleError, match=message) as refused:
        session(model())
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("backwards", [False, True])
def test_weights_in_other_files_are_refused_in_any_order_of_fields(backwards, tmp_path, monkeypatch):
    """Field 13 of a tensor and the keys in it may be written in any order, and with other fields between them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    with pytest.raises(BundleError, match=r"weights outside of the file|graph twice"):
        session(external_data("secret", backwards=backwards))


def test_a_file_cut_anywhere_is_refused_or_has_no_output():
    whole = network()
    for length in range(0, len(whole), 501):
        with pytest.raises(BundleError):
            session(whole[:length])


def test_a_changed_byte_gives_no_other_error():
    whole = bytearray(network())
    for place in [*range(0, 200), *range(len(whole) - 300, len(whole))]:
        changed = whole.copy()
        changed[place] ^= 1 << place % 8
        with contextlib.suppress(BundleError):
            onnx_check.check(bytes(changed))


def test_a_million_empty_fields_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(onnx_fields, "MOST_FIELDS", 1000)
    with pytest.raises(BundleError, match="more than 1,000 fields"):
        onnx_check.check(of([helper.make_node("Sum", [""] * 2000, ["logits"])]))


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr(onnx_check, "MOST_NODES", 3)
    with pytest.raises(BundleError, match="8 nodes; at most 3"):
        onnx_check.check(network())


def test_sizes_from_weights_and_shapes_are_allowed():
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "rest"], ["sides"], axis=0),
        helper.make_node("Reshape", ["images", "sides"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["logits"]),
    ]
    onnx_check.check(of(nodes, {"rest": numpy_helper.to_array(helper.make_tensor("r", TensorProto.INT64, [1], [-1]))}))
