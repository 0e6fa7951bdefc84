"""The routes that are asked about images."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request

from dspkd.deploy import Predictor
from dspkd.deploy.serve import image_checks, occlusion, uploads
from dspkd.deploy.serve.limits import Limits
from dspkd.deploy.serve.schemas import ErrorResponse, HeatMap, PredictionList, PredictionResponse
from dspkd.deploy.serve.state import ServerState
from dspkd.deploy.serve.uploads import Upload
from dspkd.errors import DataError

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in {
        400: "No valid multipart body, or one that broke off.",
        401: "The token is missing or wrong.",
        408: "The upload came too slowly.",
        413: "Too many bytes, files or pixels.",
        415: "No multipart body, or no JPEG, PNG or WebP image.",
        422: "No image in the request, a damaged one, or no such class.",
        429: "This address has its share of places; Retry-After says when to come again.",
        503: "The server is full; Retry-After says when to come again.",
    }.items()
}


def router(service: ServerState) -> APIRouter:
    """Return ``/predict`` and ``/heatmap``."""
    gate, spec = service.gate, service.bundle.spec
    routes = APIRouter(responses=_REFUSALS, tags=["images"])

    @routes.post("/predict", openapi_extra=_body(gate.limits.files), summary="Ask about images")
    async def predict(request: Request) -> PredictionList:
        """Ask about one or several images. A file that is no image has its error beside the others' answers.

        Where no file has an answer, the status is that of the first one's error.
        """
        with gate.place(_client(request)) as place:
            received = await uploads.read(request, gate.limits, place)
            jobs = [service.crew.run(partial(_answer, upload, gate.limits)) for upload in received]
            done = await asyncio.gather(*jobs)
        for _, answer in done:
            service.metrics.answered(answer.top, refer=bool(answer.refer), seconds=answer.seconds)
        if all(status != 200 for status, _ in done):
            raise HTTPException(done[0][0], done[0][1].error)
        answers = [answer for _, answer in done]
        return PredictionList(
            answers=answers, bundle=service.bundle.digest, precision=spec.default, notice=spec.not_a_diagnosis
        )

    @routes.post("/heatmap", openapi_extra=_body(1), summary="Ask what an answer rests on")
    async def heatmap(
        request: Request, of: Annotated[str | None, Query(description="A class's id; by default the top one.")] = None
    ) -> HeatMap:
        """Cover one part of an image after the other, and say by how much the probability of the class falls."""
        ids = [known.id for known in spec.classes]
        if of is not None and of not in ids:
            raise HTTPException(422, f"no class has the id {of[:40]!r}; they are {', '.join(ids)}")
        with gate.place(_client(request)) as place:
            received = await uploads.read(request, gate.limits, place)
            if len(received) > 1:
                raise HTTPException(413, "a heat map is made of one image at a time")
            return await service.crew.run(partial(_heat_map, received[0], gate.limits, of))

    return routes


def _body(files: int) -> dict[str, Any]:
    """Return what OpenAPI says of a body with images."""
    image = {"type": "string", "format": "binary", "description": "A JPEG, PNG or WebP image."}
    several = {"type": "array", "items": image, "minItems": 1, "maxItems": files}
    schema = {"type": "object", "required": [uploads.FIELD], "properties": {uploads.FIELD: several}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _answer(upload: Upload, limits: Limits, predictor: Predictor) -> tuple[int, PredictionResponse]:
    """Return what the network says of an upload and 200, or why not and the status for that."""
    try:
        image_checks.check(upload.data, limits)
        said = predictor.predict(upload.data)
    except HTTPException as error:
        return error.status_code, PredictionResponse(file=upload.name, error=error.detail)
    except DataError as error:
        return 422, PredictionResponse(file=upload.name, error=_without_place(error))
    answer = PredictionResponse(
        file=upload.name,
        probabilities=dict(said.probabilities),
        top=said.top,
        confidence=said.confidence,
        refer=said.refer,
        seconds=sum(said.seconds.values()),
    )
    return 200, answer


def _without_place(error: DataError) -> str:
    return str(error).removeprefix("an image: ")  # the place, where the image is no file


def _heat_map(upload: Upload, limits: Limits, of: str | None, predictor: Predictor) -> HeatMap:
    image_checks.check(upload.data, limits)
    try:
        image_3SS = predictor.preprocess(upload.data)
    except DataError as error:
        raise HTTPException(422, _without_place(error)) from None
    p_K = predictor.probabilities(image_3SS[None])[0]
    ids = [known.id for known in predictor.classes]
    answer = int(p_K.argmax()) if of is None else ids.index(of)
    cells = occlusion.heat_map(predictor.probabilities, image_3SS, answer)
    return HeatMap(of=ids[answer], probability=float(p_K[answer]), cells=cells.tolist())
