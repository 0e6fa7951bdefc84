"""Limits on requests and memory: refusals, and that all is released."""

import pytest
from fastapi import HTTPException

from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.limits import Limits


def refusal(of):
    with pytest.raises(HTTPException) as raised:
        of()
    return raised.value.status_code, (raised.value.headers or {}).get("Retry-After"), raised.value.detail


def test_requests_are_limited_in_total_and_per_client():
    admission = Admission(Limits(requests=3, requests_per_client=2))
    with admission.admit("a"), admission.admit("a"):
        assert refusal(admission.admit("a").__enter__)[:2] == (429, "1")
        with admission.admit("b"):
            assert admission.in_flight == 3
            status, after, reason = refusal(admission.admit("c").__enter__)
            assert (status, after) == (503, "1")
            assert reason.startswith("3 requests are in flight")
        assert admission.in_flight == 2
    assert admission.in_flight == 0
    with admission.admit("a"), admission.admit("b"), admission.admit("c"):
        pass


def test_a_slot_is_released_after_an_error_and_no_address_is_kept():
    admission = Admission(Limits(requests=1))
    with pytest.raises(HTTPException), admission.admit("a") as slot:
        slot.add_bytes(admission.limits.upload_bytes + 1)
    assert (admission.in_flight, admission.bytes_in_flight, dict(admission._of_client)) == (0, 0, {})


def test_bytes_are_limited_per_upload_and_in_total():
    admission = Admission(Limits(upload_bytes=10, bytes_in_flight=15))
    with admission.admit("a") as one:
        one.add_bytes(10)
        with admission.admit("b") as other:
            other.add_bytes(5)
            assert admission.bytes_in_flight == 15
            assert refusal(lambda: other.add_bytes(1))[:2] == (503, "1")
        assert admission.bytes_in_flight == 10
        assert refusal(lambda: one.add_bytes(1))[0] == 413
    assert admission.bytes_in_flight == 0
