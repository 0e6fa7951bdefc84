"""The routes that tell of the server and its network."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Depends, Response

from dspkd.deploy.serve.metrics import CONTENT_TYPE
from dspkd.deploy.serve.schemas import Health, ModelInfo
from dspkd.deploy.serve.security import Bearer
from dspkd.deploy.serve.state import ServerState


def router(service: ServerState, bearer: Bearer) -> APIRouter:
    """Return ``/healthz``, which asks for no token, ``/model`` and ``/metrics``."""
    bundle = service.bundle
    routes = APIRouter(tags=["server"])
    model = ModelInfo(
        name=bundle.spec.name,
        bundle=bundle.digest,
        precision=bundle.spec.default,
        classes=[asdict(known) for known in bundle.spec.classes],
        temperature=bundle.spec.temperature,
        refer_below=bundle.spec.refer_below,
        card=bundle.read_text("card.md"),
        limits=asdict(service.gate.limits),
        notice=bundle.spec.not_a_diagnosis,
    )

    @routes.get("/healthz", summary="Is the server up?")
    async def healthz() -> Health:
        """Say that the server is up, and how busy."""
        return Health(inside=service.gate.inside)

    @routes.get("/model", dependencies=[Depends(bearer)], summary="Which network answers?")
    async def about() -> ModelInfo:
        """Say which network answers, what its classes mean, and what a request may hold."""
        return model

    @routes.get("/metrics", dependencies=[Depends(bearer)], summary="Figures for Prometheus", response_class=Response)
    async def figures() -> Response:
        """Return all figures in Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return routes
