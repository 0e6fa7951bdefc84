"""The table of class names against the classes of public data sets, and what no rule may reassure about."""

import tomllib
from pathlib import Path

import pytest

from dspkd.errors import DataError
from dspkd.evaluation import classes as module
from dspkd.evaluation.classes import KINDS, diagnosis, in_words, malignancies, malignancy

MALIGNANT = {
    "ISIC 2019": "MEL BCC SCC",
    "HAM10000": "mel bcc akiec",
    "PAD-UFES-20": "MEL BCC SCC",
    "MILK10k": "MEL BCC SCCKA MAL_OTH AKIEC",
    "DDI": (
        "basal-cell-carcinoma basal-cell-carcinoma-nodular basal-cell-carcinoma-superficial melanoma "
        "blastic-plasmacytoid-dendritic-cell-neoplasm kaposi-sarcoma leukemia-cutis melanoma-acral-lentiginous "
        "melanoma-in-situ metastatic-carcinoma mycosis-fungoides nodular-melanoma-(nm) sebaceous-carcinoma "
        "squamous-cell-carcinoma squamous-cell-carcinoma-in-situ squamous-cell-carcinoma-keratoacanthoma "
        "subcutaneous-t-cell-lymphoma"
    ),
    "Fitzpatrick17k": (
        "basal_cell_carcinoma basal_cell_carcinoma_morpheiform kaposi_sarcoma lentigo_maligna melanoma "
        "malignant_melanoma mycosis_fungoides solid_cystic_basal_cell_carcinoma squamous_cell_carcinoma "
        "superficial_spreading_melanoma_ssm"
    ),
}
BENIGN = {
    "ISIC 2019": "NV BKL DF VASC",
    "HAM10000": "nv bkl df vasc",
    "PAD-UFES-20": "NEV SEK",
    "MILK10k": "NV BKL DF VASC BEN_OTH INF",
    "DDI": (
        "abscess acne-cystic acral-melanotic-macule acquired-digital-fibrokeratoma angioleiomyoma angioma "
        "benign-keratosis arteriovenous-hemangioma blue-nevus cellular-neurothekeoma chondroid-syringoma "
        "clear-cell-acanthoma hematoma condyloma-accuminatum dermatofibroma dermatomyositis eccrine-poroma "
        "eczema-spongiotic-dermatitis epidermal-cyst epidermal-nevus fibrous-papule focal-acral-hyperkeratosis "
        "folliculitis foreign-body-granuloma glomangioma graft-vs-host-disease hyperpigmentation "
        "inverted-follicular-keratosis keloid lichenoid-keratosis lipoma melanocytic-nevi molluscum-contagiosum "
        "morphea neurofibroma neuroma nevus-lipomatosus-superficialis onychomycosis "
        "pigmented-spindle-cell-nevus-of-reed prurigo-nodularis pyogenic-granuloma scar solar-lentigo "
        "seborrheic-keratosis seborrheic-keratosis-irritated syringocystadenoma-papilliferum tinea-pedis "
        "trichilemmoma trichofolliculoma verruca-vulgaris verruciform-xanthoma wart xanthogranuloma "
        "coccidioidomycosis"
    ),
    "Fitzpatrick17k": (
        "acanthosis_nigricans acne acne_vulgaris acrodermatitis_enteropathica allergic_contact_dermatitis "
        "aplasia_cutis becker_nevus behcets_disease calcinosis_cutis cheilitis congenital_nevus dariers_disease "
        "dermatofibroma dermatomyositis drug_eruption dyshidrotic_eczema eczema ehlers_danlos_syndrome "
        "epidermal_nevus epidermolysis_bullosa erythema_annulare_centrifigum erythema_multiforme erythema_nodosum "
        "factitial_dermatitis fixed_eruptions folliculitis fordyce_spots granuloma_annulare granuloma_pyogenic "
        "hailey_hailey_disease halo_nevus hidradenitis ichthyosis_vulgaris incontinentia_pigmenti "
        "juvenile_xanthogranuloma keloid milia myiasis keratosis_pilaris lichen_amyloidosis lichen_planus "
        "lichen_simplex livedo_reticularis lupus_erythematosus mucinosis lupus_subacute lyme_disease lymphangioma "
        "mucous_cyst naevus_comedonicus necrobiosis_lipoidica nematode_infection neurodermatitis neurofibromatosis "
        "neurotic_excoriations neutrophilic_dermatoses nevocytic_nevus paronychia scabies pediculosis_lids "
        "perioral_dermatitis photodermatoses pilar_cyst pilomatricoma pityriasis_rosea porphyria psoriasis "
        "pityriasis_lichenoides_chronica pityriasis_rubra_pilaris port_wine_stain prurigo_nodularis "
        "pustular_psoriasis pyogenic_granuloma rhinophyma rosacea sarcoidosis scleroderma scleromyxedema "
        "seborrheic_dermatitis striae syringoma seborrheic_keratosis stasis_edema stevens_johnson_syndrome "
        "telangiectases tick_bite tuberous_sclerosis tungiasis urticaria urticaria_pigmentosa vitiligo xanthomas "
        "non-neoplastic benign inflammatory"
    ),
}
DERMNET = {
    "Melanoma Skin Cancer Nevi and Moles": "malignant",
    "Actinic Keratosis Basal Cell Carcinoma and other Malignant Lesions": "malignant",
    "Seborrheic Keratoses and other Benign Tumors": "benign",
    "Acne and Rosacea Photos": "benign",
    "Psoriasis pictures Lichen Planus and related diseases": "benign",
    "Warts Molluscum and other Viral Infections": "benign",
    "Systemic Disease": "unknown",
}
DERM7PT = {
    "melanoma (less than 0.76 mm)": "malignant",
    "melanoma (in situ)": "malignant",
    "melanoma metastasis": "malignant",
    "basal cell carcinoma": "malignant",
    "reed or spitz nevus": "benign",
    "clark nevus": "premalignant",
    "vascular lesion": "benign",
    "miscellaneous": "unknown",
}
DOUBTFUL = {
    "Naevus": "benign", "MELANOCYTIC NÆVI": "benign", "Haemangiomas": "benign", "Seborrhoeic_Keratosis": "benign",
    "4. Basal Cell Carcinoma (BCC) 3323": "malignant", "5. Melanocytic Nevi (NV) 7970": "benign",
    "BlueNaevus": "benign",
    "6. Benign Keratosis-like Lesions (BKL) 2624": "benign", "Bowen\u2019s disease": "malignant",
    "Non-Melanoma Skin Cancer": "malignant", "angiosarcoma": "malignant", "pre-cancerous": "premalignant",
    "AK": "premalignant", "ACK": "premalignant", "solar keratoses": "premalignant", "dysplastic-nevus": "premalignant",
    "not_melanoma": "unknown", "non-melanoma": "unknown", "nonmelanoma": "unknown", "no melanoma": "unknown",
    "not malignant": "benign", "malignant": "malignant", "benign": "benign", "benign with atypia": "premalignant",
    "benign/malignant": "malignant", "benign or unclear": "unknown", "naevus, other": "unknown",
    "naevus/angioma": "benign",
    "naevus and actinic keratosis": "premalignant", "nevus (suspicious for melanoma)": "malignant", "ME": "unknown",
    "0": "unknown", "1": "unknown", "UNK": "unknown", "other": "unknown", "": "unknown", "melanocytic": "unknown",
    "positive": "unknown", "unbenign": "unknown", "benignish": "unknown",
}  # fmt: skip


@pytest.mark.parametrize(("names", "kind"), [(MALIGNANT, "malignant"), (BENIGN, "benign")])
def test_classes_of_public_data_sets_are_known(names, kind):
    wrong = {f"{of}: {name}" for of, all_ in names.items() for name in all_.split() if malignancy(name) != kind}
    assert wrong == set()


@pytest.mark.parametrize("names", [DERMNET, DERM7PT, DOUBTFUL])
def test_the_gravest_of_several_counts_and_nothing_unclear_is_benign(names):
    assert {name: malignancy(name) for name in names} == names


def test_no_name_is_in_two_rows_of_the_table():
    rows = tomllib.loads(Path(module.__file__).with_name("class_table.toml").read_text())["diagnosis"]
    owner = {}
    for number, row in enumerate(rows):
        assert row["malignancy"] in KINDS[:3]
        for name in row["names"]:
            assert owner.setdefault(module._normalised(name), number) == number, name
            assert module._normalised(name), name
            assert malignancy(name.upper()) == row["malignancy"], name


def test_names_have_their_meaning_however_they_are_written():
    assert diagnosis("nv") == diagnosis("Melanocytic_Naevi")
    assert diagnosis("nv").name == "Melanocytic naevus"
    assert diagnosis("mucosal thing") is None


def test_the_recipe_states_what_the_table_does_not_know():
    assert malignancies(("MEL", "NV", "x", "y", "z"), ["x", "NV"], ["y"]) == (
        "malignant", "malignant", "malignant", "benign", "unknown",
    )  # fmt: skip
    assert malignancies(("AK",), (), ("AK",)) == ("benign",)


@pytest.mark.parametrize(
    ("malignant", "benign", "message"),
    [
        (["MELL"], [], "data.malignant: there is no class 'MELL'; did you mean 'MEL'"),
        ([], ["naevus"], "data.benign: there is no class 'naevus'; known: MEL, NV"),
        (["NV"], ["NV"], "data.malignant and data.benign both name 'NV'"),
        ([], ["MEL"], "data.benign: 'MEL' is the name of a cancer; .*data.classes"),
    ],
)
def test_statements_that_cannot_be_are_refused(malignant, benign, message):
    with pytest.raises(DataError, match=message):
        malignancies(("MEL", "NV"), malignant, benign)


def test_unknown_classes_are_asked_for_in_one_line():
    names = ("MEL", "AK", "NV", "x1", "x2")
    first, second = in_words(names, malignancies(names), "run/recipe.toml")
    assert first == "classes: malignant MEL; premalignant AK; benign NV; unknown x1, x2"
    assert second.startswith("not known whether x1, x2 are malignant")
    assert "data.malignant or data.benign in run/recipe.toml" in second
    assert len(in_words(names[:3], malignancies(names[:3]))) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("benign_indeterminate", "unknown"), ("Benign_Uncertain", "unknown"), ("benign?", "unknown"),
        ("benign_vs_atypical", "premalignant"), ("benign_vs_mel", "malignant"), ("benign MEL", "malignant"),
        ("benign_keratosis_actinic", "premalignant"), ("Benign nevus giant congenital", "premalignant"),
        ("benign_actinic", "unknown"), ("Benign solar lesion", "unknown"), ("benign_spitz", "unknown"),
        ("benign_lentigo_solar", "benign"), ("benign_spitz_nevus", "benign"), ("benign_nevus_congenital", "benign"),
        ("benign_BCC", "malignant"), ("Benign_AK", "premalignant"), ("benign_not_confirmed", "unknown"),
        ("benign_to_be_excised", "unknown"), ("benign_nevus", "benign"), ("benign", "benign"),
        ("benign_other_growth", "benign"),
    ],
)  # fmt: skip
def test_a_name_that_begins_with_benign_is_so_only_without_a_doubt_and_another_disease(name, kind):
    assert malignancy(name) == kind


def test_names_that_cannot_be_distinguished_are_of_one_kind():
    same = ("pseudolymphoma", "reactive lymphoid hyperplasia"), ("photodamage", "solar elastosis", "sun damaged skin")
    assert {malignancy(name) for names in same for name in names} == {"premalignant"}
