"""Small folders in the shapes in which public data sets are published; the image files are empty."""

import csv
import json


def table(file, header, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([header.split(","), *rows])


def images(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def one_hot(number, count):
    return [float(number == k) for k in range(count)]


def isic_archive(root):
    header = "isic_id,attribution,copyright_license,age_approx,diagnosis_1,diagnosis_3,lesion_id,patient_id,sex"
    rows = [
        ("ISIC_1", "A", "CC-0", 55, "Benign", "Nevus", "IL_1", "IP_1", "male"),
        ("ISIC_2", "A", "CC-BY", 55, "Malignant", "Melanoma, NOS", "IL_2", "IP_1", "male"),
        ("ISIC_3", "B", "CC-BY-NC", "", "Benign", "Nevus", "IL_3", "", ""),
        ("ISIC_4", "B", "CC-BY-NC", "", "Benign", "", "IL_3", "", ""),
        ("ISIC_5", "B", "CC-0", "", "", "", "", "", ""),
    ]
    table(root / "metadata.csv", header, rows)
    images(root, [f"{row[0]}.jpg" for row in rows] + ["attribution.txt"])
    (root / "licenses").mkdir()


def isic2020(root):
    rows = [(f"ISIC_{n}", f"IP_{n // 2}", "male", n % 2) for n in range(6)]
    table(root / "train.csv", "image_name,patient_id,sex,target", rows)
    table(root / "test.csv", "image_name,patient_id,sex", [("ISIC_9", "IP_9", "female")])
    images(root / "train", [f"ISIC_{n}.jpg" for n in range(6)])
    images(root / "test", ["ISIC_9.jpg"])


def isic2024(root):
    rows = [(f"ISIC_{n}", n % 2, f"IP_{n // 2}", 45, "CC-0", 0.5) for n in range(6)]
    table(root / "train-metadata.csv", "isic_id,target,patient_id,age_approx,copyright_license,tbp_lv_A", rows)
    images(root / "train-image/image", [f"ISIC_{n}.jpg" for n in range(6)])


def isic2018(root):
    classes = "MEL,NV,BCC,AKIEC,BKL,DF,VASC"
    for part, start in (("Training", 0), ("Validation", 7), ("Test", 14)):
        name = root / f"ISIC2018_Task3_{part}_GroundTruth.csv"
        names = [f"ISIC_{start + n}" for n in range(7)]
        table(name, f"image,{classes}", [[each, *one_hot(n, 7)] for n, each in enumerate(names)])
        images(root / f"ISIC2018_Task3_{part}_Input", [f"{each}.jpg" for each in names])
    groupings = [(f"ISIC_{n}", f"HAM_{n // 2}", "histo") for n in range(7)]
    table(root / "ISIC2018_Task3_Training_LesionGroupings.csv", "image,lesion_id,diagnosis_confirm_type", groupings)


def isic2016(root):
    for part, labels in (("Training", ("benign", "malignant", "benign")), ("Test", ("0.0", "1.0"))):
        rows = [(f"ISIC_{part}{n}", label) for n, label in enumerate(labels)]
        table(root / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv", ",".join(rows[0]), rows[1:])
        images(root / f"ISBI2016_ISIC_Part3_{part}_Data", [f"{name}.jpg" for name, _ in rows])


def isic2017(root):
    for part in ("Training", "Validation", "Test_v2"):
        rows = [(f"ISIC_{part}{n}", *cells) for n, cells in enumerate(((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)))]
        table(root / f"ISIC-2017_{part}_Part3_GroundTruth.csv", "image_id,melanoma,seborrheic_keratosis", rows)
        names = [f"{name}.jpg" for name, *_ in rows] + [f"{rows[0][0]}_superpixels.png"]
        images(root / f"ISIC-2017_{part}_Data", names)


def milk10k(root):
    header = "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
    table(root / "MILK10k_Training_GroundTruth.csv", header, [[f"IL_{n}", *one_hot(n, 11)] for n in range(11)])
    rows = []
    for n in range(11):
        for k, kind in enumerate(("clinical: close-up", "dermoscopic")):
            rows.append((f"IL_{n}", kind, f"ISIC_{n}{k}", "Vienna", "CC-BY-NC", 40, "male", n % 6, "trunk"))
            images(root / f"MILK10k_Training_Input/MILK10k_Training_Input/IL_{n}", [f"ISIC_{n}{k}.jpg"])
    header = "lesion_id,image_type,isic_id,attribution,copyright_license,age_approx,sex,skin_tone_class,site"
    table(root / "MILK10k_Training_Metadata.csv", header, rows)
    table(root / "MILK10k_Training_Supplement.csv", "isic_id,diagnosis_full", [("ISIC_00", "x")])


def bcn20000(root):
    header = "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split"
    rows = [(f"BCN_{n}.jpg", 55, "torso", ("MEL", "NV")[n % 2], f"L_{n // 2}", "2012", "m", "train") for n in range(6)]
    table(root / "bcn_20k_train.csv", header, rows)
    table(root / "bcn_20k_test.csv", "bcn_filename,age_approx,sex,split", [("BCN_9.jpg", 55, "male", "test")])
    images(root / "BCN_20k_train/bcn_20k_train", [row[0] for row in rows])


def ddi(root):
    header = ",DDI_ID,DDI_file,skin_tone,malignant,disease"
    rows = [(n, n + 1, f"{n:06d}.png", (12, 34, 56)[n % 3], n % 2 == 1, f"disease-{n % 3}") for n in range(6)]
    table(root / "ddi_metadata.csv", header, rows)
    images(root, [row[2] for row in rows])


def fitzpatrick17k(root):
    header = "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url"
    rows = [(f"f{n}", (-1, 3)[n % 2], 2, f"disease {n % 2}", "inflammatory", "benign", "", "http") for n in range(6)]
    table(root / "fitzpatrick17k.csv", header, rows)
    images(root / "images", [f"f{n}.jpg" for n in range(4)])


def derm7pt(root):
    header = "case_num,diagnosis,seven_point_score,sex,management,clinic,derm,case_id,notes"
    rows = [
        (n, ("melanoma", "nevus")[n % 2], 3, "female", "excision", f"N/c{n}.jpg", f"N/d{n}.jpg", "", "")
        for n in range(6)
    ]
    table(root / "meta/meta.csv", header, rows)
    for part, numbers in (("train", (0, 1, 2, 3)), ("valid", (4,)), ("test", (5,))):
        table(root / f"meta/{part}_indexes.csv", "indexes", [(n,) for n in numbers])
    images(root / "images/N", [f"{kind}{n}.jpg" for n in range(6) for kind in "cd"])


def scin(root):
    rows = [(f"c{n}", "FEMALE", f"dataset/images/{n}a.png", f"dataset/images/{n}b.png", "") for n in range(4)]
    table(root / "scin_cases.csv", "case_id,sex_at_birth,image_1_path,image_2_path,image_3_path", rows)
    weights = ["{'Eczema': 0.4, 'Tinea': 0.6}", '{"Grover\'s disease": 1.0}', "{'Eczema': 1.0}", "{}"]
    header = "case_id,dermatologist_fitzpatrick_skin_type_label_1,weighted_skin_condition_label"
    table(root / "scin_labels.csv", header, [(f"c{n}", "FST2", cell) for n, cell in enumerate(weights)])
    images(root / "dataset/images", [f"{n}{k}.png" for n in range(4) for k in "ab"])


def panderm(root):
    rows = [(f"{n}.jpg", n % 2, ("train", "train", "val", "test")[n % 4]) for n in range(8)]
    table(root / "split.csv", "image,label,split", rows)
    images(root / "images", [row[0] for row in rows])


def dermnet(root):
    for part in ("train", "test"):
        for name in ("Acne and Rosacea Photos", "Light Diseases and Disorders of Pigmentation"):
            images(root / part / name, [f"{part}-{name[:3]}-{n}.jpg" for n in range(3)])


def ham10000(root):
    rows = [(f"HAM_{n // 2}", f"ISIC_{n}", ("mel", "nv")[n % 2], "histo", 50, "male", "back") for n in range(6)]
    table(root / "HAM10000_metadata.csv", "lesion_id,image_id,dx,dx_type,age,sex,localization", rows)
    for n in range(6):
        images(root / f"HAM10000_images_part_{1 + n // 3}", [f"ISIC_{n}.jpg"])


def imagefolder(root):
    rows = [json.dumps({"file_name": f"{n}.jpg", "label": "ab"[n % 2]}) for n in range(4)]
    images(root, [f"{n}.jpg" for n in range(4)])
    (root / "metadata.jsonl").write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
