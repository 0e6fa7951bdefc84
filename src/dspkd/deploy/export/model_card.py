"""The model card: the contents of `spec.json` and `certificate.json`, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dspkd.data.assumptions import NO_IDS
from dspkd.deploy.bundle.refusals import NARROWEST, SHORTEST
from dspkd.deploy.bundle.spec import BundleSpec
from dspkd.evaluation.calibration import FEWEST_ERRORS

LIMITS = (
    "Measured only on the images named below: no other cameras, light, skin tones, body sites or diseases.",
    "It predicts one of its classes for every image, even of healthy skin or of a cat. It refuses only an image that "
    f"shows nothing: a shorter side below {SHORTEST} px, or one colour within {NARROWEST} of 255 (both inferred).",
    "The test images come from the same collections as the training images; other hospitals were not tested.",
)


def card(spec: BundleSpec, certificate: Mapping[str, Any]) -> str:
    """Return the card in Markdown."""
    conversion, origins = certificate["conversion"], certificate["origins"]
    lines = [f"# {spec.name}", "", f"> {spec.not_a_diagnosis}", "", *_summary(spec, certificate), ""]
    if origins["data"]["leak"]:
        lines += [f"**{origins['data']['leak']}**", ""]
    if origins["caution"]:
        lines += [f"**{origins['caution']}**", ""]
    lines += [
        "## Classes",
        "",
        *table(
            ("class", "name", "malignancy", "meaning"), [(c.id, c.name, c.malignancy, c.meaning) for c in spec.classes]
        ),
        "",
    ]
    lines += ["## When it advises to refer", "", *_referral(spec, certificate), ""]
    lines += ["## Accuracy after conversion", "", conversion["verdict"], "", *_gate(conversion["gate"]), ""]
    for name in ("test", "validation"):
        lines += [*_part(name, certificate["parts"][name]), ""]
    lines += ["## Confidence and referral", "", *_confidence(spec, certificate), ""]
    lines += ["## Size and latency", "", *_size(certificate), ""]
    limits = [*(LIMITS[:-1] if origins["caution"] else LIMITS), *_often_missed(spec, certificate)]
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


def _referral(spec: BundleSpec, certificate: Mapping[str, Any]) -> list[str]:
    """Return the rule, and its sensitivity and specificity with intervals on both parts of the data."""
    if spec.refer_from is None:
        rule = f"Always. {spec.refer_from_rule}"
    else:
        rule = (
            f"Where the probabilities of all classes that are not benign add up to {spec.refer_from:.4f} or more, "
            f"where such a class is the most probable one, or where the confidence is below {spec.refer_below:.3f}. "
            f"Otherwise it says that no threshold is reached, which is no all-clear. {spec.refer_from_rule}"
        )
    shares = {
        "sensitivity: cancers referred": ("cancers referred", False),
        "premalignant lesions referred": ("premalignant referred", False),
        "specificity: benign images not referred": ("benign referred", True),
    }
    rows = [
        (name, part, *_share_cells(certificate["parts"][part]["advice"][key], complement=complement))
        for name, (key, complement) in shares.items()
        for part in ("validation", "test")
    ]
    recall = certificate["parts"]["test"]["advice"]["recall"]
    recalls = [(f"recall of {name}", "test", *_share_cells(each)) for name, each in recall.items()]
    return [
        f"{rule} The threshold was chosen on the validation images; the test images had no part in it. Intervals are "
        "95 %, over lesions or patients, or over images without an id.",
        "",
        *table(("", "images", "share", "interval", "number of images", "lesions or patients"), [*rows, *recalls]),
    ]


def _share_cells(share: Mapping[str, Any], *, complement: bool = False) -> tuple[str, str, int, int | str]:
    """Return the cells of a share, or of 1 less it."""
    counts = (share["images"], share["lesions"] or "")
    if not share["images"]:
        return ("", "", *counts)
    value, low, high = share["share"], share["low"], share["high"]
    if complement:
        value, low, high = 1 - value, 1 - high, 1 - low
    return (_share(value), f"{_share(low)} to {_share(high)}", *counts)


def _gate(gate: Mapping[str, Any]) -> list[str]:
    """Return int8 against float32 on validation, by what decides whether it may be the default."""
    rows = [
        (
            change["name"],
            change["images"],
            change["lesions"] or "",
            _share(change["before"]),
            _share(change["after"]),
            f"{change['low']:+.3f} to {change['high']:+.3f}",
            "yes" if change["passes"] else "no",
        )
        for change in gate["changes"]
    ]
    if not rows:
        return []
    head = ("validation", "images", "lesions or patients", "float32", "int8", "interval of the change", "passes")
    return [
        f"int8 may be the default only if a fall by more than {gate['margin']} lies outside of every interval:",
        "",
        *table(head, rows),
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
    wrong = {kind: max(0.0, round(1 - row["found"] - row["referred"], 9)) for kind, row in test["referral"].items()}
    rows = [
        (kind, test["recall"][kind]["images"], *map(_share, (row["found"], wrong[kind], row["referred"])))
        for kind, row in test["referral"].items()
    ]
    answered, worst = next(iter(test["referral"].values()))["answered"], max(wrong, key=lambda kind: wrong[kind])
    error = test["calibration error"]
    return [
        f"Logits are divided by a temperature of {spec.temperature:.3f}{_why(spec.temperature)}. "
        f"The expected calibration error on the test images is {error['before']:.3f} without it and "
        f"{error['after']:.3f} with it{': not better' if error['after'] >= error['before'] else ''}.",
        "",
        f"One of its rules is the confidence: an image below {spec.refer_below:.3f} is referred. "
        f"{certificate['referral rule']} By this rule alone {_share(answered)} of the test images are not referred, "
        f"and the class most often wrong and not referred is {worst}; the other rules refer more, see *When it advises "
        "to refer*.",
        "",
        *table(("class", "images", "correct", "wrong, not referred", "referred by confidence"), rows),
    ]


def _why(temperature: float) -> str:
    if temperature == 1:  # as `calibration.temperature` sets it, which fits no such number
        return f": at least 1, as fewer than {FEWEST_ERRORS} validation images were wrong"
    return ", which minimises the log loss on validation"


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
    """Return a share with three decimals, which reads 0 or 1 only where it is that."""
    if value is None:
        return ""
    if 0 < value < 1 and not 0 < float(f"{value:.3f}") < 1:
        return "below 0.001" if value < 0.5 else "above 0.999"
    return f"{value:.3f}"
