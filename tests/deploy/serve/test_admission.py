"""Places and memory: who is let in, what is told to the others, and that all is given back."""

import pytest
from fastapi import HTTPException

from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.limits import Limits


def refusal(of):
    with pytest.raises(HTTPException) as raised:
        of()
    return raised.value.status_code, (raised.value.headers or {}).get("Retry-After"), raised.value.detail


def test_places_are_shared_and_given_back():
    gate = Admission(Limits(places=3, share=2))
    with gate.place("a"), gate.place("a"):
        assert refusal(gate.place("a").__enter__)[:2] == (429, "1")
        with gate.place("b"):
            assert gate.inside == 3
            status, after, why = refusal(gate.place("c").__enter__)
            assert (status, after) == (503, "1")
            assert why.startswith("3 requests are being answered, which is the limit")
        assert gate.inside == 2
    assert gate.inside == 0
    with gate.place("a"), gate.place("b"), gate.place("c"):
        pass


def test_a_place_is_given_back_after_an_error_and_no_address_is_kept():
    gate = Admission(Limits(places=1))
    with pytest.raises(HTTPException), gate.place("a") as place:
        place.hold(gate.limits.upload_bytes + 1)
    assert (gate.inside, gate.held, dict(gate._of_client)) == (0, 0, {})


def test_bytes_are_counted_for_one_upload_and_for_all():
    gate = Admission(Limits(upload_bytes=10, held_bytes=15))
    with gate.place("a") as one:
        one.hold(10)
        with gate.place("b") as other:
            other.hold(5)
            assert gate.held == 15
            assert refusal(lambda: other.hold(1))[:2] == (503, "1")
        assert gate.held == 10
        assert refusal(lambda: one.hold(1))[0] == 413
    assert gate.held == 0
