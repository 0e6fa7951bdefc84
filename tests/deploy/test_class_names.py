"""Names of a bundle's classes: right for each, and of no two the same."""

import pytest

from dspkd.deploy.export import class_names
from dspkd.evaluation.classes import malignancies


def named(*ids):
    return {each.id: each.name for each in class_names.classes(ids, malignancies(ids))}


def test_each_lentigo_has_its_own_name_and_only_the_solar_one_is_of_the_sun():
    ids = ("lentigo NOS", "lentigo simplex", "solar lentigo", "MEL")
    assert list(named(*ids).values()) == ["Lentigo", "Lentigo simplex", "Solar lentigo", "Melanoma"]
    made = class_names.classes(ids, malignancies(ids))
    assert [each.id for each in made if "age spot" in each.meaning] == ["solar lentigo"]


def test_classes_that_the_table_gives_one_name_have_their_ids_behind_it():
    names = named("compound nevus", "junctional nevus", "BCC", "dermal nevus")
    assert names == {
        "compound nevus": "Melanocytic naevus (compound nevus)",
        "junctional nevus": "Melanocytic naevus (junctional nevus)",
        "BCC": "Basal cell carcinoma",
        "dermal nevus": "dermal nevus",
    }


@pytest.mark.parametrize(
    "ids", [("NV", "Melanocytic naevus"), ("SK", "SEK", "SK "), ("BKL", "lichenoid keratosis", "LPLK")]
)
def test_no_two_classes_have_one_name(ids):
    assert len(set(named(*ids).values())) == len(ids)


def test_a_class_alone_keeps_its_plain_name():
    assert named("compound nevus", "MEL") == {"compound nevus": "Melanocytic naevus", "MEL": "Melanoma"}
