"""What the server answers, as OpenAPI describes it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_PREDICTED: dict[str, JsonValue] = {
    "file": "lesion.jpg",
    "probabilities": {"MEL": 0.12, "NV": 0.85, "BKL": 0.03},
    "top": "NV",
    "confidence": 0.85,
    "refer": False,
    "seconds": 0.011,
    "error": None,
}
_REFUSED: dict[str, JsonValue] = {"file": "notes.pdf", "error": "no JPEG, PNG or WebP image"}


class PredictionResponse(BaseModel):
    """What a network says about one image, or why there is no answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PREDICTED, _REFUSED]})

    file: str = Field(description="The name that the client gave the file.")
    probabilities: dict[str, float] | None = Field(
        None, description="Calibrated, of each class by its id; they sum to 1."
    )
    top: str | None = Field(None, description="The id of the most probable class.")
    confidence: float | None = Field(None, description="The probability of `top`.")
    refer: bool | None = Field(None, description="True where the network is not sure enough: refer to a person.")
    seconds: float | None = Field(None, description="Decoding and network, without waiting.")
    error: str | None = Field(None, description="Why this file has no answer; then all else is null.")


class PredictionList(BaseModel):
    """One answer for each file, in the order in which they came."""

    answers: list[PredictionResponse]
    bundle: str = Field(description="SHA-256 of the bundle's manifest: whose network answered.")
    precision: str = Field(description="Which of the bundle's networks answered.", examples=["int8"])
    notice: str = Field(description="That this is no diagnosis.")


class HeatMap(BaseModel):
    """How far the probability of a class falls where a part of the image is covered."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"of": "NV", "probability": 0.85, "cells": [[0.0, 0.02], [0.31, 0.05]]}]}
    )

    of: str = Field(description="The id of the class asked about.")
    probability: float = Field(description="Its probability in the whole image.")
    cells: list[list[float]] = Field(
        description="Rows from top to bottom over the square that the network sees; differences of probabilities, "
        "above 0 where covering lowers it. Shown is what the answer rests on, not whether it is right."
    )


class Health(BaseModel):
    """That the server is up, and how busy."""

    status: str = Field("ok", examples=["ok"])
    inside: int = Field(description="Requests that are being answered or wait for it.", examples=[0])


class ModelInfo(BaseModel):
    """What a bundle says of itself."""

    name: str = Field(examples=["dsp_kd"])
    bundle: str = Field(description="SHA-256 of the bundle's manifest.")
    precision: str = Field(description="Which of the bundle's networks runs here.", examples=["fp32"])
    classes: list[dict[str, str]] = Field(
        examples=[[{"id": "NV", "name": "Melanocytic nevus", "meaning": "A mole: a benign growth of pigment cells."}]]
    )
    temperature: float = Field(description="By which logits are divided before the softmax.", examples=[1.31])
    refer_below: float = Field(description="Confidence below which `refer` is true.", examples=[0.62])
    card: str = Field(description="The model card, in Markdown.")
    limits: dict[str, float] = Field(description="What one request may hold at most.", examples=[{"files": 8}])
    notice: str


class ErrorResponse(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str = Field(examples=["the upload has more than the 20,971,520 bytes that are accepted"])
