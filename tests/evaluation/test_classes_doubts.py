"""Names that state a doubt: none of them may count as benign, and names without one keep what they are."""

import pytest

from dspkd.evaluation import classes
from dspkd.evaluation.classes import malignancy

QUESTIONED = (
    "NV?/BKL", "NV? / BKL", "nevus?, angioma", "NV or BKL?", "NV\uff1f", "NV/BKL\uff1f", "nevus \u2753", "nevus(?)",
    "\u00bfnevus?", "nevus \u061f", "benign\uff1f", "benign_nevus?", "not malignant?", "benign keratosis\u2047",
)  # fmt: skip
DOUBTED = (
    "benign-looking", "benign_equivocal", "benign_ambiguous", "benign questionable", "benign_concerning", "benign_susp",
    "benign_atyp", "benign_kaposi", "benign_high_risk", "benign - needs review", "benign_follow_up", "benign_like",
    "benign until histology", "benign clinically", "benign_low_grade", "benign_transforming", "benign_BD", "benign_FN",
    "benign (indet)", "benign changing nevus", "NV / BKL (unsure)", "benign_or_not", "benign_in_situ?",
)  # fmt: skip
PLAIN = (
    "benign", "benign_lesions", "Benign - Other", "benign_other_growth", "benign skin tumours", "Benign neoplasm",
    "benign_2_mole",
    "benign_nevus", "benign naevi", "benign_keratosis", "benign-keratosis-like-lesions", "benign_images", "benign misc",
    "Benign soft tissue proliferations - Vascular", "Benign soft tissue proliferations - Fibro-histiocytic",
    "Benign soft tissue proliferations - Neural", "Benign melanocytic proliferations",
    "Benign epidermal proliferations",
    "Benign adnexal epithelial proliferations - Sebaceous", "Benign adnexal epithelial proliferations - Follicular",
    "NV/BKL", "nevus, angioma", "NV or BKL", "vascular lesion", "lentigo simplex", "lentigo NOS", "solar lentigo",
)  # fmt: skip


@pytest.mark.parametrize("name", [*QUESTIONED, *DOUBTED])
def test_a_name_that_states_a_doubt_is_not_benign(name):
    assert malignancy(name) != "benign"


@pytest.mark.parametrize("name", PLAIN)
def test_a_name_without_a_doubt_stays_benign(name):
    assert malignancy(name) == "benign"


@pytest.mark.parametrize(
    ("name", "kind"), [("melanoma?", "malignant"), ("AK?", "premalignant"), ("MEL?/NV", "malignant")]
)
def test_a_doubt_reassures_about_no_cancer(name, kind):
    assert malignancy(name) == kind


@pytest.mark.parametrize("mark", ["?", " ?", "(?)", "\uff1f", "\u2753"])
def test_no_benign_name_of_the_table_is_benign_in_question(mark):
    benign = [name for name, row in classes._table().items() if row.malignancy == "benign"]
    assert len(benign) > 300
    assert {malignancy(name + mark) for name in benign} == {"unknown"}


@pytest.mark.parametrize(
    "word", ["cancer", "malignant", "melanoma", "kaposi", "merkel", "bowen", "spreading", "atypical"]
)
def test_a_word_of_a_graver_name_does_not_pass_behind_benign(word):
    assert malignancy(f"benign_{word}") != "benign"
    assert malignancy(f"benign {word} lesion") != "benign"
