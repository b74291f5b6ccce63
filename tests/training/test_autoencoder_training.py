"""Training and reading the renderer of self-swaps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from unmask.models.autoencoder import FaceAutoencoder  # noqa: E402
from unmask.training.autoencoder import Renderer, loss, save  # noqa: E402


def test_the_loss_counts_colours_and_edges():
    # A step of height 1 in 2 x 2 pixels: a flat answer of 1/2 misses each pixel by 1/2 and the edge by 1.
    step = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    assert float(loss(torch.full_like(step, 0.5), step)) == pytest.approx(0.5 + 1.0)
    assert float(loss(step, step)) == 0


def test_a_renderer_reads_what_was_saved(tmp_path):
    path = tmp_path / "renderer.safetensors"
    network = FaceAutoencoder()
    save(network, path)
    face = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    drawn = Renderer(path)(face, np.random.default_rng(7))
    assert drawn.shape == face.shape
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, Renderer(path)(face, np.random.default_rng(7)))


@pytest.mark.parametrize("content", [None, b"", b"not weights"])
def test_what_is_no_renderer_is_named(tmp_path, content):
    path = tmp_path / "renderer.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"renderer\.safetensors: no renderer"):
        Renderer(path)
