"""The networks as a page in Markdown: sizes, and those of the DSP-KD paper beside the paper's own figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dspkd.models.zoo import NetworkSummary

_TOP = """\
# Networks

<!-- Written by `dspkd models --table > docs/models.md`. Change src/dspkd/models/page.py, not this page. -->

`model.name` in a recipe is one of these names, or any of timm's that shows its maps:
[a teacher of your own](how-to/your-own-teacher.md). Parameters are those of the network with its classifier. GMACs are
billions of multiply-accumulates for one image of 224 x 224 pixels: convolutions and matrix products, with the
classifier for eight classes.
"""

_PAPER = """
## Beside the paper

What the DSP-KD paper's table of networks calls FLOPs are multiply-accumulates, and all its sizes come out to the last
printed digit if they are counted so:

- **Parameters** with the classifier. EfficientNet-B0, EfficientNet-B4 and MobileNetV2 have ImageNet's 1000 classes in
  the paper, the others the eight of ISIC 2019. A student of yours has as many as its data.
- **MACs** at 224 pixels without the classifier: convolutions and matrix products, and besides 2 for each element of a
  batch normalisation, 5 of a layer normalisation, and 1 of a map that is averaged to one value. This is MMEngine's
  counter, applied to feature extraction as MMPreTrain does; that the authors did so is inferred from the figures.
"""

_NOTES = """
**wide_shufflenet is a stand-in.** The plan of the network that the paper compares with (Hoang et al., 2022) is not
known to us. Ours is ShuffleNetV1 with 1.4 times the channels, a width chosen because it comes near the 1.8 M that the
paper's table of inference times prints.

**1.13 M and 1.09 M.** That same table gives the student 1.262 M parameters and 0.046 s an image, after SSD-KD 1.13 M
and 0.072 s, after DSP-KD 1.09 M and 0.023 s. Distillation trains a network and leaves its graph as it is: 1,261,804
parameters before and after, and one speed. Nor has any published width of ShuffleNetV2 1.13 or 1.09 M (with eight
classes 0.350, 1.262, 2.487 and 5.361 M), so these two rows are not reproduced.
"""


def markdown(rows: Sequence[NetworkSummary]) -> str:
    """Return the page for the rows of `dspkd.models.zoo.describe`."""
    sizes = _table(
        ("name", "in its library", "parameters: 8 classes", "1000 classes", "GMACs", "channels of last", "note"),
        (
            (
                f"`{row.name}`",
                f"{row.library} `{row.key}`",
                f"{row.parameters[8]:,}",
                f"{row.parameters[1000]:,}",
                f"{row.macs.whole(8) / 1e9:.3f}",
                str(row.last),
                row.note,
            )
            for row in rows
        ),
    )
    beside = _table(
        ("name", "classes", "parameters, M", "paper", "GMACs", "paper", "convolutions and products alone"),
        (
            (
                f"`{row.name}`" + (", a stand-in" if row.paper_gmacs is None else ""),
                str(row.paper_classes),
                f"{row.parameters[row.paper_classes] / 1e6:.3f}",
                str(row.paper_millions),
                f"{row.macs.backbone / 1e9:.3f}",
                "none" if row.paper_gmacs is None else str(row.paper_gmacs),
                f"{row.macs.whole(row.paper_classes) / 1e9:.3f}",
            )
            for row in rows
            if row.paper_classes is not None
        ),
    )
    return f"{_TOP}\n{sizes}{_PAPER}\n{beside}{_NOTES}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
