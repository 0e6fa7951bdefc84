"""The routes that take images: predictions and heat maps."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request

from dspkd.deploy.serve import occlusion, uploads
from dspkd.deploy.serve.image_checks import RefusedImageError
from dspkd.deploy.serve.schemas import ErrorResponse, HeatMap, PredictionList, PredictionResponse
from dspkd.deploy.serve.state import ServerState
from dspkd.deploy.serve.uploads import Upload
from dspkd.deploy.serve.workers import Worker
from dspkd.errors import DspkdError

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": description}
    for status, description in {
        400: "The multipart body is invalid or was interrupted.",
        401: "The token is missing or wrong.",
        408: "The upload was too slow.",
        413: "Too many bytes, files, pixels or scans.",
        415: "Not a multipart body, or not a JPEG, PNG or WebP image.",
        422: "No image in the request, a damaged image, or an unknown class.",
        429: "This address has too many requests in flight; see the header Retry-After.",
        503: "The server is full; see the header Retry-After.",
    }.items()
}


def router(state: ServerState) -> APIRouter:
    """Return the routes ``/predict`` and ``/heatmap``."""
    admission, spec = state.admission, state.bundle.spec
    limits = admission.limits
    routes = APIRouter(responses=_ERRORS, tags=["images"])

    @routes.post("/predict", openapi_extra=_request_body(limits.files), summary="Predict images")
    async def predict(request: Request) -> PredictionList:
        """Predict one or several images. A file that cannot be read has an error beside the other files' predictions.

        If no file has a prediction, the status is that of the first file's error.
        """
        with admission.admit(_client(request)) as slot:
            files = await uploads.read(request, limits, slot)
            jobs = [state.workers.run(partial(_predict, file)) for file in files]
            results = await asyncio.gather(*jobs)
        for _, prediction in results:
            state.metrics.count_image(prediction.top, refer=bool(prediction.refer), seconds=prediction.seconds)
        if all(status != 200 for status, _ in results):
            raise HTTPException(results[0][0], results[0][1].error)
        return PredictionList(
            predictions=[prediction for _, prediction in results],
            bundle=state.bundle.digest,
            precision=spec.default,
            notice=spec.not_a_diagnosis,
        )

    @routes.post("/heatmap", openapi_extra=_request_body(1), summary="Occlusion map of an image")
    async def heatmap(
        request: Request,
        class_id: Annotated[str | None, Query(description="Id of a class; by default the most probable one.")] = None,
    ) -> HeatMap:
        """Compute how far the probability of a class falls when each part of an image is covered."""
        ids = [each.id for each in spec.classes]
        if class_id is not None and class_id not in ids:
            raise HTTPException(422, f"no class has the id {class_id[:40]!r}; known: {', '.join(ids)}")
        with admission.admit(_client(request)) as slot:
            files = await uploads.read(request, limits, slot)
            if len(files) > 1:
                raise HTTPException(413, "a heat map is of one image; send one file")
            return await state.workers.run(partial(_heat_map, files[0], class_id))

    return routes


def _request_body(files: int) -> dict[str, Any]:
    """Return the OpenAPI description of a body with images."""
    image = {"type": "string", "format": "binary", "description": "A JPEG, PNG or WebP image."}
    several = {"type": "array", "items": image, "minItems": 1, "maxItems": files}
    schema = {"type": "object", "required": [uploads.FIELD], "properties": {uploads.FIELD: several}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _predict(file: Upload, worker: Worker) -> tuple[int, PredictionResponse]:
    """Return 200 and the prediction for a file, or the status and description of an error."""
    try:
        prediction = worker.predictor.of_pixels(*worker.decoder.pixels(file.data))
    except DspkdError as error:
        return _status(error), PredictionResponse(file=file.name, error=_without_place(error))
    response = PredictionResponse(
        file=file.name,
        **prediction.advice.to_json(),
        probabilities=dict(prediction.probabilities),
        top=prediction.top,
        confidence=prediction.confidence,
        seconds=sum(prediction.seconds.values()),
    )
    return 200, response


def _without_place(error: DspkdError) -> str:
    return str(error).removeprefix("an image: ")  # the place in messages about images that are not files


def _status(error: DspkdError) -> int:
    return error.status if isinstance(error, RefusedImageError) else 422


def _heat_map(file: Upload, class_id: str | None, worker: Worker) -> HeatMap:
    predictor = worker.predictor
    try:
        image_3SS, _ = worker.decoder.pixels(file.data)
        p_K = predictor.probabilities(image_3SS[None])[0]
        ids = [each.id for each in predictor.classes]
        target = int(p_K.argmax()) if class_id is None else ids.index(class_id)
        cells = occlusion.heat_map(predictor.probabilities, image_3SS, target)
    except DspkdError as error:
        raise HTTPException(_status(error), _without_place(error)) from None
    digest = predictor.bundle.digest
    return HeatMap(class_id=ids[target], probability=float(p_K[target]), cells=cells.tolist(), bundle=digest)
