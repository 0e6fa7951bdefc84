import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dspkd.data.synthetic.canvas import Canvas
from dspkd.data.synthetic.lesions import vessels


@given(angle=st.floats(-3, 3), zoom=st.floats(0.7, 1.5), x=st.floats(-0.4, 0.4), y=st.floats(-0.4, 0.4))
def test_drawn_and_computed_shapes_coincide(angle, zoom, x, y):
    canvas = Canvas(64, angle=angle, zoom=zoom, shift=(0.2, -0.1))
    drawn_HW = canvas.dots(np.array([[x, y]]), 0.25)
    computed_HW = np.hypot(canvas.x_HW - x, canvas.y_HW - y) < 0.25
    assert np.abs(drawn_HW - computed_HW).sum() < 0.2 * computed_HW.sum()


def test_noise_and_vessels_rotate_with_the_camera():
    straight, rotated = Canvas(64), Canvas(64, angle=np.pi / 2)
    for draw in (
        lambda c: c.noise(np.random.default_rng(1), scale=0.5),
        lambda c: c.network(np.random.default_rng(1), spacing=0.2, warp=0.3),
        lambda c: vessels(c, np.random.default_rng(1), count=5, reach=0.5, length=0.6, width=0.05, bend=1.0),
    ):
        before, after = draw(straight), draw(rotated)
        assert np.corrcoef(np.rot90(before, -1).ravel(), after.ravel())[0, 1] > 0.9
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.5


def test_pigments_follow_the_law_of_beer_and_lambert():
    once, twice = Canvas(32), Canvas(32)
    pigment = np.array([0.5, 1.0, 2.0], dtype=np.float32)
    once.absorb(pigment, np.full((32, 32), 0.6))
    for _ in range(2):
        twice.absorb(pigment, np.full((32, 32), 0.3))
    assert np.allclose(once.rgb_HW3, np.exp([-0.3, -0.6, -1.2]), atol=1e-6)
    assert np.allclose(once.rgb_HW3, twice.rgb_HW3, atol=1e-6)
