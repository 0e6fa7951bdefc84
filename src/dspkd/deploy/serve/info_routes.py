"""The routes with information about the server and its network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from dspkd.deploy.bundle import limits
from dspkd.deploy.serve.metrics import CONTENT_TYPE
from dspkd.deploy.serve.schemas import Health, ModelInfo
from dspkd.deploy.serve.security import Bearer
from dspkd.deploy.serve.state import ServerState


def router(state: ServerState, bearer: Bearer, openapi: Callable[[], dict[str, Any]]) -> APIRouter:
    """Return the routes ``/healthz``, which needs no token, ``/model``, ``/metrics`` and ``/openapi.json``.

    Parameters
    ----------
    state, bearer
        Of the application.
    openapi
        Returns its description.
    """
    bundle = state.bundle
    routes = APIRouter(tags=["server"])
    info = ModelInfo(
        name=bundle.spec.name,
        bundle=bundle.digest,
        precision=bundle.spec.default,
        classes=[asdict(each) for each in bundle.spec.classes],
        temperature=bundle.spec.temperature,
        refer_below=bundle.spec.refer_below,
        refer_from=bundle.spec.refer_from,
        refer_from_rule=bundle.spec.refer_from_rule,
        measured=list(limits.lines(bundle)),
        card=bundle.read_text("card.md"),
        limits=asdict(state.admission.limits),
        notice=bundle.spec.not_a_diagnosis,
    )

    @routes.get("/healthz", summary="Health of the server")
    async def healthz() -> Health:
        """Return that the server is up, and its load."""
        return Health(in_flight=state.admission.in_flight)

    @routes.get("/model", dependencies=[Depends(bearer)], summary="Description of the network")
    async def model() -> ModelInfo:
        """Return the network's name, classes, thresholds and model card, and the limits of a request."""
        return info

    @routes.get("/metrics", dependencies=[Depends(bearer)], summary="Metrics for Prometheus", response_class=Response)
    async def metrics() -> Response:
        """Return all metrics in Prometheus' text format."""
        return Response(state.metrics.text(), media_type=CONTENT_TYPE)

    @routes.get("/openapi.json", dependencies=[Depends(bearer)], include_in_schema=False)
    async def description(request: Request) -> JSONResponse:
        """Return the description of all routes; behind a prefix, with the prefix."""
        prefix = request.scope.get("root_path", "").rstrip("/")
        return JSONResponse(openapi() | ({"servers": [{"url": prefix}]} if prefix else {}))

    return routes
