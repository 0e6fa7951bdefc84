"""The pages in a real browser: they load nothing, log nothing on the console, fit a phone, and print."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from dspkd import reports
from dspkd.evaluation.predictions import Predictions
from figures import drawn

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
A4 = {"width": 673, "height": 1000}  # what is left of 210 mm between margins of 16 mm, at 96 px an inch


def complete(folder, teacher):
    """Give a fabricated run the teacher's predictions, images, maps and features, as training keeps them."""
    for part in ("val", "test"):
        (folder / f"predictions/teacher-{part}.csv").write_text((teacher / f"predictions/{part}.csv").read_text())
    lines = ["id,sex,age,body site"]
    for part in ("val", "test"):
        for n, name in enumerate(Predictions.load(folder / f"predictions/{part}.csv").ids):
            site = "lower extremity" if n % 3 else "posterior torso"
            lines.append(f"{name},{'female' if n % 2 else 'male'},{'40 to 59' if n % 5 else '80 and over'},{site}")
    (folder / "attributes.csv").write_text("\n".join(lines) + "\n")
    (folder / "artifacts").mkdir()
    generator = np.random.default_rng(0)
    index = []
    for number in range(12):
        pixels = generator.integers(0, 256, (160, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((160, 160)).save(folder / f"artifacts/{number:03d}.jpg", quality=30)
        maps = {name: generator.uniform(size=(3, 3)).tolist() for name in ("student", "teacher")}
        part = "val" if number < 8 else "test"
        index.append(
            {
                "part": part,
                "id": f"{part}_{number:05d}",
                "file": f"{number:03d}.jpg",
                "looks": maps if number < 6 else {},
            }
        )
    (folder / "artifacts/images.json").write_text(json.dumps({"images": index}))
    vectors = generator.normal(size=(24, 6)).astype(np.float16)
    np.savez(
        folder / "artifacts/features.npz",
        ids=np.array([f"val_{n:05d}" for n in range(24)]), labels=np.arange(24) % 8, student=vectors, teacher=vectors,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(fabricated, tmp_path_factory):
    """A run's page with all its parts, and a comparison of three recipes."""
    teacher = fabricated("teacher", name="teacher", teacher=None, seed=9, short=True)
    names = [f"a_recipe_with_quite_a_long_name_{number}" for number in range(3)]
    runs = [fabricated(name, name=name, seed=seed, short=True) for seed, name in enumerate(names)]
    complete(runs[0], teacher)
    compared = tmp_path_factory.mktemp("compared") / "report.html"
    with drawn():
        return {"run": reports.write(runs[0]), "comparison": reports.compare(runs, compared)}


@pytest.fixture(params=["run", "comparison"])
def show_page(request, browser, pages):
    """Opens the page at a size: ``show_page(size, media)``; then the console must be empty and nothing requested."""
    file, messages, requests = pages[request.param], [], []

    def show(size, media="screen"):
        page = context.new_page()
        page.set_viewport_size(size)
        page.emulate_media(media=media)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        return page

    context = browser.new_context()
    yield show
    context.close()
    assert messages == []
    assert {url for url in requests if not url.startswith("data:")} == {file.as_uri()}


WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"
BEYOND = """[...document.querySelectorAll('.scroll, figure, pre, p, h1, h2, h3, summary, dl')]
    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.tagName + '.' + e.className)"""


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["390", "1280"])
def test_it_fits_and_loads_nothing(show_page, size):
    page = show_page(size)
    wide, inner = page.evaluate(WIDTHS)
    assert wide <= inner
    assert page.evaluate(BEYOND) == []
    broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth)).length"
    assert page.evaluate(broken) == 0
    if size is PHONE:  # wide tables are there, and scroll inside their box
        scrolls = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert page.evaluate(scrolls) > 0
        behind = page.evaluate("getComputedStyle(document.querySelector('nav')).backgroundImage")
        assert behind.count("gradient") == 4  # the stripes and covers that show that the sections scroll sideways


def test_a_phone_shows_the_head_and_the_subgroups_without_scrolling(show_page):
    page = show_page(PHONE)
    few = ".glance:not(:has(tr > :nth-child(5)))"  # three networks beside each other
    boxes = page.locator(f".scroll:has(.labelled), {few}")
    assert boxes.count() > 0 or page.locator(".glance").count() > 0
    hidden = "boxes => boxes.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 60))"
    assert boxes.evaluate_all(hidden) == []


def test_a_card_names_the_class_of_each_probability_in_one_breath(show_page):
    for answer in show_page(PHONE).locator(".case .answer span").all():
        assert re.fullmatch(r"\(probability of \w+:\s\d+\s%\)", answer.text_content())


def test_the_keyboard_reaches_the_content_and_each_table(show_page):
    page = show_page(DESK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("#content$"))
    unreachable = "[...document.querySelectorAll('.scroll, pre, summary')].filter(e => e.tabIndex < 0).length"
    assert page.evaluate(unreachable) == 0
    summary = page.locator("summary").first
    if summary.count():
        summary.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.querySelector('details').open")


def test_on_paper_nothing_is_hidden_or_cut_off(show_page):
    page = show_page(A4, media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    visible = """[...document.querySelectorAll('details table')]
        .every(e => e.getBoundingClientRect().height > 20)"""
    assert page.evaluate(visible)
    cut = (
        "[...document.querySelectorAll('.scroll, pre')].filter(e => getComputedStyle(e).overflowX !== 'visible').length"
    )
    assert page.evaluate(cut) == 0
    wide, inner = page.evaluate(WIDTHS)
    assert wide <= inner
    letters = """[...document.querySelectorAll('tbody th')]
        .filter(e => e.getBoundingClientRect().width < 24).map(e => e.textContent)"""
    assert page.evaluate(letters) == []
    assert len(page.pdf(format="A4")) > 10_000


def test_a_page_with_images_stays_small(pages):
    assert all(page.stat().st_size < 3_000_000 for page in pages.values())
