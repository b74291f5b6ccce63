"""The fixed front ends of the frequency networks against NumPy and SciPy, and shapes there and back."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
import scipy.fft  # noqa: E402
from scipy.ndimage import correlate  # noqa: E402

from unmask.models.dct_cnn import BlockCoefficients, dct_cnn  # noqa: E402
from unmask.models.efficientnet import efficientnet_lite0  # noqa: E402
from unmask.models.f3net import (  # noqa: E402
    FAD_BANDS,
    Decomposition,
    F3Net,
    LocalStatistics,
    Mix,
    band_masks,
)
from unmask.models.registry import architecture, names  # noqa: E402
from unmask.models.separable import entry_flow, exit_flow, middle_flow  # noqa: E402
from unmask.models.spsl import phase_picture, spsl, spsl_lite0  # noqa: E402
from unmask.models.srm import LIMIT, NoiseFilters, srm_lite0, srm_two_stream  # noqa: E402
from unmask.models.weights import load_named  # noqa: E402
from unmask.signals.dct import block_dct  # noqa: E402
from unmask.signals.planes import planes  # noqa: E402
from unmask.signals.residual import SRM_THREE  # noqa: E402


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32))


def test_the_phase_picture_has_numpys_phase_and_no_amplitude():
    grey = noise(1, 1, 24, 31)
    phase = phase_picture(grey)
    expected = np.fft.ifft2(np.exp(1j * np.angle(np.fft.fft2(grey[0, 0].numpy())))).real
    np.testing.assert_allclose(phase[0, 0].numpy(), expected * np.sqrt(24 * 31), atol=1e-3)
    assert np.abs(np.fft.fft2(phase[0, 0].numpy())) == pytest.approx(np.sqrt(24 * 31), rel=1e-3)
    assert float(phase.std()) == pytest.approx(1, rel=0.05)


def test_the_phase_picture_forgets_contrast_and_of_flat_pictures_has_no_nan():
    grey = noise(1, 1, 16, 16)
    torch.testing.assert_close(phase_picture(3 * grey), phase_picture(grey), atol=1e-4, rtol=1e-4)
    flat = torch.zeros(1, 1, 16, 16, requires_grad=True)
    phase_picture(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("size", [10, 32, 299])
def test_the_bands_hold_every_coefficient_once(size):
    assert (band_masks(size, FAD_BANDS).sum(0) == 1).all()


def test_the_lowest_band_is_a_sixteenth_of_the_way():
    low = band_masks(32, FAD_BANDS)[0]
    # (row + column) / 63 < 1 / 16: up to row + column = 3, which are 1 + 2 + 3 + 4 coefficients.
    assert low.sum() == 10
    assert low[0, 3] == low[3, 0] == 1
    assert low[2, 2] == 0


def test_decomposition_gives_scipys_bands_which_sum_to_the_picture():
    picture = noise(2, 3, 32, 32)
    bands = Decomposition(32)(picture)
    assert bands.shape == (2, 12, 32, 32)
    torch.testing.assert_close(bands[:, 0:3] + bands[:, 3:6] + bands[:, 6:9], picture, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bands[:, 9:], picture)
    coefficients = scipy.fft.dctn(picture[1, 2].numpy(), norm="ortho")
    row, column = np.mgrid[:32, :32]
    low = scipy.fft.idctn(coefficients * ((row + column) / 63 < 1 / 16), norm="ortho")
    np.testing.assert_allclose(bands[1, 2].detach().numpy(), low, atol=1e-5)


def test_local_statistics_are_log_sums_of_scipys_window_coefficients():
    picture = noise(1, 3, 40, 40)
    found = LocalStatistics()(picture)
    assert found.shape == (1, 6, 20, 20)
    grey = (picture[0].numpy() * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    # The window of output (7, 9) begins at (2 * 7 - 4, 2 * 9 - 4).
    window = np.abs(scipy.fft.dctn(grey[10:20, 14:24], norm="ortho"))
    row, column = np.mgrid[:10, :10]
    for band in range(6):
        inside = ((row + column) / 19 >= band / 6) & ((row + column) / 19 < (band + 1) / 6)
        assert found[0, band, 7, 9].item() == pytest.approx(np.log10(window[inside].sum() + 1e-6), abs=1e-4)


def test_learnt_filters_stay_within_one():
    statistics = LocalStatistics()
    with torch.no_grad():
        statistics.filters.learnt.fill_(100.0)
    assert statistics.filters().max() == 2.0


def test_noise_filters_are_the_srm_kernels_cut_off():
    picture = noise(2, 3, 20, 24)
    found = NoiseFilters(3, scale=10.0)(picture)
    assert found.shape == (2, 9, 20, 24)
    for colour in range(3):
        for kernel in range(3):
            expected = correlate(10 * picture[1, colour].numpy(), SRM_THREE[kernel], mode="mirror")
            np.testing.assert_allclose(
                found[1, 3 * colour + kernel].numpy(), expected.clip(-LIMIT, LIMIT), atol=1e-4
            )


def test_block_coefficients_are_those_of_the_signals_room():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    normal = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    found = BlockCoefficients().coefficients(normal)
    assert found.shape == (1, 192, 3, 4)
    luma, blue, _ = planes(pixels)
    # `block_dct` takes 128 away: of luma half a level more than here, of colour 128 more.
    np.testing.assert_allclose(
        found[0, :64].reshape(8, 8, 3, 4).permute(2, 3, 0, 1), block_dct(luma + 0.5), atol=2e-3
    )
    np.testing.assert_allclose(
        found[0, 64:128].reshape(8, 8, 3, 4).permute(2, 3, 0, 1), block_dct(blue + 128), atol=2e-3
    )


def test_mix_begins_by_changing_nothing_and_then_swaps_like_places():
    one, other = noise(1, 16, 2, 3), noise(1, 16, 2, 3, seed=1)
    mix = Mix(16)
    same_one, same_other = mix(one, other)
    torch.testing.assert_close(same_one, one)
    torch.testing.assert_close(same_other, other)
    with torch.no_grad():
        mix.one_gain.fill_(1.0)
        for layer in (mix.one_query, mix.other_key):
            layer.weight.zero_()
            layer.bias.zero_()
    # Without any preference every place gets the mean of the other stream.
    changed, _ = mix(one, other)
    torch.testing.assert_close(changed - one, other.mean((2, 3), keepdim=True).expand_as(other))


@pytest.mark.parametrize(
    ("build", "features", "size"),
    [
        (spsl, (2, 2048, 3, 3), 96),
        (lambda: F3Net(1, size=64), (2, 4096, 2, 2), 64),
        (srm_two_stream, (2, 2048, 2, 2), 64),
        (dct_cnn, (2, 128, 8, 8), 64),
        (spsl_lite0, (2, 1280, 2, 2), 64),
        (srm_lite0, (2, 1280, 2, 2), 64),
    ],
    ids=["spsl", "f3net", "srm", "dct_cnn", "spsl_lite0", "srm_lite0"],
)
def test_shapes_and_gradients(build, features, size):
    torch.manual_seed(0)
    model = build()
    picture = noise(2, 3, size, size)
    assert model.forward_features(picture).shape == features
    logits = model(picture)
    assert logits.shape == (2, 1)
    logits.sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_flat_pictures_give_finite_logits():
    model = dct_cnn().eval()
    assert torch.isfinite(model(torch.full((1, 3, 64, 64), -1.0))).all()


def test_xceptions_parts_have_the_published_number_of_weights():
    parts = (entry_flow(3), middle_flow(8), exit_flow(), torch.nn.Linear(2048, 1000))
    assert sum(p.numel() for part in parts for p in part.parameters()) == 22_855_952


@pytest.mark.parametrize(("build", "channels"), [(spsl_lite0, 4), (srm_lite0, 9)])
def test_weights_of_the_plain_network_load_and_their_own_do_too(build, channels):
    torch.manual_seed(0)
    plain = efficientnet_lite0(num_classes=5)
    behind = build()
    assert not load_named(behind, plain.state_dict())  # the linear layer does not fit
    grey = plain.stem_conv.weight.sum(1)
    own = behind.stem_conv.weight
    assert own.shape == (32, channels, 3, 3)
    if channels == 9:
        torch.testing.assert_close(own.sum(1), grey)  # every colour keeps its share
    else:
        torch.testing.assert_close(own[:, :3], plain.stem_conv.weight)
        torch.testing.assert_close(own[:, 3], grey / 3)
    torch.testing.assert_close(behind.blocks[3].expand_conv.weight, plain.blocks[3].expand_conv.weight)
    again = build()
    assert load_named(again, behind.state_dict())
    torch.testing.assert_close(again.stem_conv.weight, own)


def test_the_noise_stream_alone_sees_no_brightness_and_no_colour():
    model = srm_lite0().eval()
    picture = noise(1, 3, 64, 64) * 0.1
    shifted = picture + torch.tensor([0.3, -0.2, 0.1])[None, :, None, None]
    torch.testing.assert_close(model(shifted), model(picture), atol=1e-4, rtol=1e-4)


def test_they_are_registered_with_their_input():
    assert {"spsl", "f3net", "srm_two_stream", "dct_cnn"} <= set(names())
    assert architecture("f3net").preprocessing.input_size == 299
