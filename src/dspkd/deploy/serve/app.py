"""The HTTP server of a bundle and its page. Images stay in memory and out of every log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from dspkd import __version__
from dspkd.deploy import Predictor
from dspkd.deploy.bundle.reader import Bundle
from dspkd.deploy.serve import info_routes, page_routes, predict_routes
from dspkd.deploy.serve.admission import Admission
from dspkd.deploy.serve.decoding import Decoder
from dspkd.deploy.serve.head import HeadAsGet
from dspkd.deploy.serve.limits import Limits
from dspkd.deploy.serve.metrics import CountRequests, Metrics
from dspkd.deploy.serve.security import Bearer, KnownHosts, StrictHeaders
from dspkd.deploy.serve.state import ServerState
from dspkd.deploy.serve.workers import Worker, Workers


def create(
    bundle: Bundle,
    *,
    workers: int = 1,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
    limits: Limits | None = None,
) -> FastAPI:
    """Create the application.

    Parameters
    ----------
    bundle
        The bundle to serve.
    workers
        Threads that decode images and run the network, each with its own session.
    token
        If given, all routes but the page itself and ``/healthz`` require ``Authorization: Bearer TOKEN``.
    hosts
        Host names that the server accepts; others get 400. This prevents DNS rebinding: a malicious web page whose name
        resolves to this machine cannot reach the server.
    limits
        Largest accepted uploads, numbers of requests, and times.

    Raises
    ------
    BundleError
        The bundle is broken.
    """
    limits = limits or Limits()
    admission = Admission(limits)
    state = ServerState(
        bundle=bundle,
        admission=admission,
        workers=Workers(
            lambda: Worker(Predictor(bundle), Decoder(bundle.spec.preprocessing, limits)),
            count=workers,
            seconds=limits.prediction_seconds,
        ),
        metrics=Metrics(in_flight=lambda: admission.in_flight, bytes_in_flight=lambda: admission.bytes_in_flight),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.workers.start()
        yield
        state.workers.close()

    app = FastAPI(
        title="dspkd",
        version=__version__,
        description=f"Predictions of a skin lesion classifier. {bundle.spec.not_a_diagnosis}",
        lifespan=lifespan,
        openapi_url=None,  # a route of our own, which needs the token
        redirect_slashes=False,  # behind a proxy the address that it redirects to is another one
    )
    app.add_middleware(KnownHosts, hosts=hosts)
    app.add_middleware(StrictHeaders)
    app.add_middleware(CountRequests, metrics=state.metrics)
    app.add_middleware(HeadAsGet)
    bearer = Bearer(token)
    app.include_router(predict_routes.router(state), dependencies=[Depends(bearer)])
    app.include_router(info_routes.router(state, bearer, app.openapi))
    app.include_router(page_routes.router(bundle, bearer))
    return app
