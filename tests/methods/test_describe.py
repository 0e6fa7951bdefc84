"""Descriptions of methods for the command and the page, from signature and docstring."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from dspkd.methods import Term, describe, names
from dspkd.methods.__main__ import page
from dspkd.methods._describe import describe as describe_class

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"


class Wide(Term):
    """Do a thing.

    Source: Someone et al., *A
    Thing* (``x``).

    Not a part of the source.
    """

    inferred = "The rest."

    def __init__(
        self,
        student,
        teacher,
        *,
        share: Annotated[float, Field(gt=0, le=1)] = 0.25,
        kind: Literal["a", "b"] = "b",
        count: Annotated[int, Field(ge=2)] = 3,
        often: bool = False,
        tap: str = "last",
    ):
        super().__init__(student, teacher)


class Silent(Term):
    def __init__(self, student, teacher):
        super().__init__(student, teacher)


def test_a_description_has_purpose_options_source_and_what_is_inferred():
    assert str(describe_class("wide", Wide)).splitlines() == [
        "wide: Do a thing.",
        "    share = 0.25     float > 0 and <= 1",
        '    kind = "b"       "a" or "b"',
        "    count = 3        int >= 2",
        "    often = false    bool",
        '    tap = "last"     str',
        "    Source: Someone et al., *A Thing* (`x`).",
        "    Inferred: The rest.",
    ]


def test_a_method_without_docstring_does_not_inherit_that_of_its_base():
    assert str(describe_class("silent", Silent)) == "silent: "


@pytest.mark.parametrize("name", names())
def test_every_method_has_a_line_a_source_and_a_range_for_each_number(name):
    about = describe(name)
    assert about.line.endswith(".")
    assert about.source.endswith(".")
    assert [default.partition(" = ")[0] for default, _ in about.settings()] == list(about.options)
    bare = [default for default, domain in about.settings() if domain in ("float", "int")]
    assert bare == ([] if name != "hierarchical_fusion" else ["gate = 0.0"])  # the gate may start anywhere


def test_the_committed_page_is_up_to_date():
    text = page()
    assert PAGE.read_text(encoding="utf-8") == text + "\n", "python -m dspkd.methods > docs/methods.md"
    assert all(f"\n## {name}\n" in text for name in names())


@pytest.mark.parametrize(
    ("teacher", "channels"), [("Res2Net101", 2048), ("EfficientNet-B4", 1792), ("ConvNeXt-Base", 1024)]
)
@pytest.mark.parametrize(
    ("kind", "hidden"),
    [("conv", 0), ("conv", 512), ("conv", 256), ("conv", 128), ("separable", 0), ("separable", 256)],
)
def test_the_costs_on_the_page_are_those_of_the_formula(teacher, channels, kind, hidden):
    aligning = 0 if channels == 1024 else 1024 * channels
    width = hidden or channels
    generating = 18 * channels * width if kind == "conv" else 2 * channels * width + 9 * (channels + width)
    weights = aligning + generating
    parameters = weights + (channels if aligning else 0) + width + channels
    row = f"| {teacher} | {channels} | {kind} | {hidden} | {parameters:,} | {49 * weights / 1e9:.3f} |"
    assert row in PAGE.read_text(encoding="utf-8")
