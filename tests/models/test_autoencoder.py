"""The renderer of self-swaps."""

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from unmask.models.autoencoder import CODE, FaceAutoencoder  # noqa: E402


@pytest.mark.parametrize("side", [64, 128, 160])
def test_faces_of_any_multiple_of_sixteen_come_back_in_their_size(side):
    network = FaceAutoencoder()
    faces = torch.rand(2, 3, side, side)
    assert network.encode(faces).shape == (2, CODE, side // 16, side // 16)
    assert network(faces).shape == faces.shape


def test_it_learns_to_give_a_face_back():
    # One smooth picture, a hundred steps: the error falls to a fraction of that of plain grey.
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 32)
    face = torch.stack([ramp.repeat(32, 1), ramp.repeat(32, 1).T, torch.full((32, 32), 0.3)])[None]
    network = FaceAutoencoder().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(100):
        loss = (network(face) - face).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    grey = (face - face.mean()).abs().mean()
    assert loss < grey / 3
