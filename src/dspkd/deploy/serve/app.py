"""The server: a bundle behind HTTP, and the page in front of it. Images stay in memory and out of every log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dspkd import __version__
from dspkd.deploy import Predictor
from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve import info_routes, page_routes, predict_routes
from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.limits import Limits
from dspkd.deploy.serve.metrics import CountRequests, Metrics
from dspkd.deploy.serve.security import Bearer, StrictHeaders
from dspkd.deploy.serve.state import ServerState
from dspkd.deploy.serve.workers import Workers


def create(
    bundle: Bundle,
    *,
    workers: int = 1,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
    limits: Limits | None = None,
) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    bundle
        What answers.
    workers
        Threads that read images and run the network, each with a session of its own.
    token
        If given, all but the page itself and ``/healthz`` asks for ``Authorization: Bearer TOKEN``.
    hosts
        Names by which the server may be called; others get 400. That keeps a strange web page, whose own name was made
        to point here, from talking to a server on this machine.
    limits
        What is accepted at most.

    Raises
    ------
    BundleError
        The bundle is not what it says.
    """
    gate = Admission(limits or Limits())
    service = ServerState(
        bundle=bundle,
        gate=gate,
        crew=Workers(lambda: Predictor(bundle), count=workers, seconds=gate.limits.answer_seconds),
        metrics=Metrics(inside=lambda: gate.inside, held=lambda: gate.held),
    )

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.crew.close()

    app = FastAPI(
        title="dspkd",
        version=__version__,
        description=f"What a skin lesion classifier says about images. {bundle.spec.not_a_diagnosis}",
        lifespan=life,
        docs_url=None,  # these two pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(StrictHeaders)
    app.add_middleware(CountRequests, metrics=service.metrics)
    bearer = Bearer(token)
    app.include_router(predict_routes.router(service), dependencies=[Depends(bearer)])
    app.include_router(info_routes.router(service, bearer))
    app.include_router(page_routes.router(bundle, bearer))
    return app
