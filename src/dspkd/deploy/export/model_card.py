"""The model card: the contents of `spec.json` and `certificate.json`, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dspkd.data.assumptions import NO_IDS
from dspkd.deploy.bundle.spec import BundleSpec

LIMITS = (
    "Trained and evaluated only on the images named below. Other cameras, light, skin tones, body sites and diseases "
    "were not measured.",
    "It predicts one of its classes for every image, even of healthy skin or of a cat.",
    "The test images come from the same collections as the training images; other hospitals were not tested.",
)


def card(spec: BundleSpec, certificate: Mapping[str, Any]) -> str:
    """Return the card in Markdown."""
    conversion, origins = certificate["conversion"], certificate["origins"]
    lines = [f"# {spec.name}", "", f"> {spec.not_a_diagnosis}", "", *_summary(spec, certificate), ""]
    if origins["data"]["leak"]:
        lines += [f"**{origins['data']['leak']}**", ""]
    lines += [
        "## Classes",
        "",
        *table(("class", "name", "meaning"), [(c.id, c.name, c.meaning) for c in spec.classes]),
        "",
    ]
    lines += ["## Accuracy after conversion", "", conversion["verdict"], ""]
    for name in ("test", "validation"):
        lines += [*_part(name, certificate["parts"][name]), ""]
    lines += ["## Confidence and referral", "", *_confidence(spec, certificate), ""]
    lines += ["## Size and latency", "", *_size(certificate), ""]
    limits = [*LIMITS, *_often_missed(spec, certificate)]
    lines += ["## Limits", "", *(f"- {limit}" for limit in limits), ""]
    lines += ["## Provenance", "", *_origin(origins), "", "## Licence", "", certificate["licence"], ""]
    return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines]


def _summary(spec: BundleSpec, certificate: Mapping[str, Any]) -> list[str]:
    size = certificate["size"]
    return [
        f"A {certificate['origins']['recipe']['network']} with {size['parameters']:,} parameters that classifies "
        f"images of skin into {len(spec.classes)} classes, at {spec.preprocessing.size} px. "
        f"Models: {', '.join(spec.models)}; default: {spec.default}."
    ]


def _part(name: str, part: Mapping[str, Any]) -> list[str]:
    models = list(part["balanced accuracy"])
    rows: list[list[object]] = [
        [kind, row["images"], *(_share(row[model]) for model in models)] for kind, row in part["recall"].items()
    ]
    means = {
        "balanced accuracy": "balanced accuracy",
        "accuracy": "accuracy",
        "answered as torch does": "same class as torch",
    }
    for key, label in means.items():
        rows.append([f"*{label}*", "", *(_share(part[key][model]) for model in models)])
    use = {
        "test": "evaluated after everything was chosen",
        "validation": "used to choose temperature, threshold and int8",
    }[name]
    return [
        f"Recall on {part['images']:,} {name} images{_of(part['lesions or patients'])} ({use}). "
        "*run*: as the run was evaluated, with its own decoder; *torch*: its weights with the bundle's preprocessing.",
        "",
        *table(("class", "images", *models), rows),
    ]


def _confidence(spec: BundleSpec, certificate: Mapping[str, Any]) -> list[str]:
    test = certificate["parts"]["test"]
    wrong = {kind: max(0.0, 1 - row["found"] - row["referred"]) for kind, row in test["referral"].items()}
    rows = [
        (kind, test["recall"][kind]["images"], *map(_share, (row["found"], wrong[kind], row["referred"])))
        for kind, row in test["referral"].items()
    ]
    answered, worst = next(iter(test["referral"].values()))["answered"], max(wrong, key=lambda kind: wrong[kind])
    error = test["calibration error"]
    return [
        f"Logits are divided by a temperature of {spec.temperature:.3f}, which minimises the log loss on validation. "
        f"The expected calibration error on the test images is {error['before']:.3f} without it and "
        f"{error['after']:.3f} with it{': not better' if error['after'] >= error['before'] else ''}.",
        "",
        f"Below a confidence of {spec.refer_below:.3f} the advice is: not sure, refer. {certificate['referral rule']} "
        f"Of the test images {_share(answered)} are not referred. The class most often wrong and not "
        f"referred is {worst}.",
        "",
        *table(("class", "images", "correct", "wrong", "referred"), rows),
    ]


def _often_missed(spec: BundleSpec, certificate: Mapping[str, Any]) -> list[str]:
    """Return a sentence with the classes of which the default network misses half of the test images or more."""
    recall = {kind: row[spec.default] for kind, row in certificate["parts"]["test"]["recall"].items()}
    missed = [
        f"{kind} (recall {_share(share)})" for kind, share in recall.items() if share is not None and share <= 0.5
    ]
    return (
        [f"It misses half or more of the test images of {', '.join(missed)}, not counting referrals."] if missed else []
    )


def _size(certificate: Mapping[str, Any]) -> list[str]:
    size, latency = certificate["size"], certificate["latency"]
    rows = [
        (
            name,
            f"{size['bytes'][name]:,}" if name in size["bytes"] else "",
            *(f"{ms[key]:.2f}" for key in ("p50", "p95", "cpu")),
        )
        for name, ms in latency["milliseconds"].items()
    ]
    return [
        f"{size['multiply-accumulates']:,} multiply-accumulates per image. Latency on the machine that made this "
        f"bundle ({latency['machine']}): {latency['protocol']}.",
        "",
        *table(("", "bytes", "median ms", "95th percentile ms", "processor ms"), rows),
    ]


def _origin(origins: Mapping[str, Any]) -> list[str]:
    recipe, data = origins["recipe"], origins["data"]
    teachers = [
        f"{t['name']} ({t['model']}, recipe {t['digest']})" if "model" in t else t["name"] for t in origins["teachers"]
    ]
    kind = "synthetic images" if data["synthetic"] else "images"
    images = {
        part: sum(count for count, _ in classes.values())
        for part, classes in data["images and lesions or patients"].items()
    }
    return [
        f"- recipe {recipe['name']}, digest {recipe['digest']}, seed {recipe['seed']}",
        f"- initial weights: {origins['first weights']}",
        f"- teachers: {', '.join(teachers) or 'none'}",
        f"- data: {kind} in layout {data['layout']}, {', '.join(f'{n:,} {part}' for part, n in images.items())}; "
        f"digest {data['digest'][:12]}, split {data['split digest'][:12]}",
        "- made with " + ", ".join(f"{name} {number}" for name, number in origins["made with"].items()),
    ]


def _of(lesions: int) -> str:
    return f" of {lesions:,} lesions or patients" if lesions else f"; {NO_IDS}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
