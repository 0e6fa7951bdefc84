"""The responses of the server, as OpenAPI describes them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_PREDICTION: dict[str, JsonValue] = {
    "file": "lesion.jpg",
    "advice": "Refer to a dermatologist.",
    "refer": True,
    "reasons": ["Malignant or possibly malignant classes together have 22.0 %; from 8.3 % the advice is to refer."],
    "not_benign": 0.22,
    "probabilities": {"MEL": 0.22, "NV": 0.75, "BKL": 0.03},
    "top": "NV",
    "confidence": 0.75,
    "seconds": 0.011,
    "error": None,
}
_ERROR: dict[str, JsonValue] = {"file": "notes.pdf", "error": "not a JPEG, PNG or WebP image"}


class PredictionResponse(BaseModel):
    """The prediction for one image, or why there is none."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PREDICTION, _ERROR]})

    file: str = Field(description="Name of the file, from the client.")
    advice: str | None = Field(
        None, description="Whether to refer, in a sentence. Show it first. It never says that all is well."
    )
    refer: bool | None = Field(
        None,
        description="True: refer to a physician. Malignant classes together reach the bundle's threshold, the most "
        "probable class is not benign, the confidence is too low, or the bundle has no threshold.",
    )
    reasons: list[str] | None = Field(None, description="Why, in sentences.")
    not_benign: float | None = Field(
        None, description="Sum of the probabilities of all classes that are malignant, premalignant or unknown."
    )
    probabilities: dict[str, float] | None = Field(
        None, description="Calibrated probability of each class, by the class's id; they sum to 1."
    )
    top: str | None = Field(None, description="Id of the most probable class.")
    confidence: float | None = Field(None, description="Probability of `top`.")
    seconds: float | None = Field(None, description="Time for decoding and network, without waiting.")
    error: str | None = Field(None, description="Why this file has no prediction; then all other fields are null.")


class PredictionList(BaseModel):
    """A prediction for each file, in the order of the request."""

    predictions: list[PredictionResponse]
    bundle: str = Field(description="SHA-256 of the bundle's manifest, which identifies the bundle.")
    precision: str = Field(description="Precision of the network that was used.", examples=["int8"])
    notice: str = Field(description="That this is no diagnosis.")


class HeatMap(BaseModel):
    """How far the probability of a class falls when a part of the image is covered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"class_id": "NV", "probability": 0.85, "cells": [[0.0, 0.02]], "bundle": "4c1b9f0a"}]
        }
    )

    class_id: str = Field(description="Id of the class.")
    probability: float = Field(description="Its probability for the whole image.")
    cells: list[list[float]] = Field(
        description="Rows from top to bottom over the square that the network sees; differences of probabilities, "
        "above 0 where covering lowers the probability. The map does not show whether the prediction is correct."
    )
    bundle: str = Field(description="Digest of the bundle.")


class Health(BaseModel):
    """That the server is up, and its load."""

    status: str = Field("ok", examples=["ok"])
    in_flight: int = Field(description="Requests that are running or waiting.", examples=[0])


class ModelInfo(BaseModel):
    """The network of a bundle, and the limits of a request."""

    name: str = Field(examples=["dsp_kd"])
    bundle: str = Field(description="SHA-256 of the bundle's manifest, which identifies the bundle.")
    precision: str = Field(description="Precision of the network that this server runs.", examples=["fp32"])
    classes: list[dict[str, str]] = Field(
        examples=[
            [
                {
                    "id": "NV",
                    "name": "Melanocytic nevus",
                    "meaning": "A mole: a benign growth of pigment cells.",
                    "malignancy": "benign",
                }
            ]
        ]
    )
    temperature: float = Field(description="Divisor of the logits before the softmax.", examples=[1.31])
    refer_below: float = Field(description="Confidence below which `refer` is true.", examples=[0.62])
    refer_from: float | None = Field(
        description="Sum of the probabilities of all classes that are not benign from which `refer` is true; null: "
        "always.",
        examples=[0.083],
    )
    refer_from_rule: str = Field(description="How that was chosen, or why there is none.")
    measured: list[str] = Field(description="What it recognises of malignant classes, and what its advice refers.")
    card: str = Field(description="The model card, in Markdown.")
    limits: dict[str, float] = Field(description="Limits of the server.", examples=[{"files": 8}])
    notice: str


class ErrorResponse(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str = Field(examples=["the upload has more than 20,971,520 bytes, which is the limit"])
