"""Architectures for sequences: published sizes, masks, moments that decide, inflated weights."""

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from unmask.models.inflation import inflate  # noqa: E402
from unmask.models.r2plus1d import channels_between, start_over_time_as_identity  # noqa: E402
from unmask.models.recurrent import MaskedPooling, RecurrentDetector  # noqa: E402
from unmask.models.sequences import architecture, create, names  # noqa: E402
from unmask.models.temporal_transformer import TemporalTransformer, positions  # noqa: E402


def parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())


def test_r2plus1d_has_as_many_parameters_as_published():
    assert parameters(create("r2plus1d_18", num_classes=400)) == 31_505_325


def test_x3d_s_has_3_8_million_parameters_as_published():
    assert parameters(create("x3d_s", num_classes=400)) == pytest.approx(3.79e6, rel=0.01)


def test_channels_between_keep_the_parameters_of_the_full_convolution():
    # 3 x 3 x 3 with 64 in and 64 out: 110,592; split with 144 between: 9 * 64 * 144 + 3 * 144 * 64
    assert channels_between(64, 64) == 144
    assert 9 * 64 * 144 + 3 * 144 * 64 == 27 * 64 * 64


@pytest.mark.parametrize(
    ("name", "shape"), [("r2plus1d_18", (1, 512, 2, 4, 4)), ("x3d_s", (1, 432, 16, 2, 2))]
)
def test_clips_are_reduced_as_the_papers_say(name, shape):
    model = create(name).eval()
    with torch.no_grad():
        clip = torch.zeros(1, 3, 16, 64, 64)
        assert model.forward_features(clip).shape == shape
        assert model(clip).shape == (1, 1)


def test_an_inflated_kernel_sees_a_still_video_as_the_picture():
    kernel, picture = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 8, 8)
    expected = torch.conv2d(picture, kernel)
    still = picture[:, :, None].expand(-1, -1, 5, -1, -1)
    for how in ("mean", "centre"):
        seen = torch.conv3d(still, inflate(kernel, 3, how=how))
        torch.testing.assert_close(seen, expected[:, :, None].expand_as(seen), atol=1e-5, rtol=1e-5)


def test_an_impossible_inflation_is_refused():
    with pytest.raises(ValueError, match="length"):
        inflate(torch.zeros(1, 1, 3, 3), 0)
    with pytest.raises(ValueError, match="unknown way"):
        inflate(torch.zeros(1, 1, 3, 3), 3, how="sum")


def test_started_as_identity_over_time_each_frame_of_a_stage_is_seen_by_itself():
    model = create("r2plus1d_18").eval()
    start_over_time_as_identity(model)
    clip = torch.randn(1, 3, 4, 16, 16)
    with torch.no_grad():
        together = model.blocks[0](model.stem(clip))
        alone = torch.cat([model.blocks[0](model.stem(clip[:, :, t : t + 1])) for t in range(4)], dim=2)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


SEQUENCES = ["lstm", "gru", "temporal_transformer"]


@pytest.mark.parametrize("name", SEQUENCES)
def test_padding_changes_nothing(name):
    torch.manual_seed(0)
    model = create(name).eval()
    short = torch.randn(1, 7, 1280)
    padded = torch.cat([short, torch.full((1, 4, 1280), 9.0)], dim=1)
    mask = torch.arange(11)[None] < 7
    both = torch.cat([padded, torch.randn(1, 11, 1280)])
    masks = torch.cat([mask, torch.ones(1, 11, dtype=torch.bool)])
    with torch.no_grad():
        alone, among = model.judge(short), model.judge(both, masks)
    torch.testing.assert_close(among.logits[0], alone.logits[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(among.weights[0, :7], alone.weights[0], atol=1e-5, rtol=1e-4)
    assert among.weights[0, 7:].abs().max() == 0
    torch.testing.assert_close(among.weights.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("name", SEQUENCES)
def test_padding_in_the_middle_or_throughout_is_refused(name):
    model, x = create(name), torch.zeros(1, 3, 1280)
    with pytest.raises(ValueError, match="begin"):
        model(x, torch.tensor([[False, False, False]]))
    with pytest.raises(ValueError, match="end"):
        model(x, torch.tensor([[True, False, True]]))


def test_one_moment_is_a_sequence():
    for name in SEQUENCES:
        assert create(name).eval()(torch.randn(2, 1, 1280)).shape == (2, 1)


def test_mean_pooling_weighs_all_moments_alike():
    x = torch.arange(6.0).reshape(1, 3, 2)
    pooled, weights = MaskedPooling(2, pooling="mean")(x, torch.tensor([[True, True, False]]))
    assert weights.tolist() == [[0.5, 0.5, 0]]
    assert pooled.tolist() == [[1, 2]]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_attention_learns_which_moment_decides(cell):
    torch.manual_seed(1)
    model = RecurrentDetector(cell, features=16, hidden=8, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)

    def batch(n):
        x = 0.3 * torch.randn(n, 12, 16)
        label = torch.arange(n) % 2
        at = torch.randint(2, 10, (n,))
        x[torch.arange(n), at, 0] += 4.0 * label  # one frame of twelve betrays the fake
        return x, label.float(), at

    for _ in range(100):
        x, label, _ = batch(32)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, label, at = batch(100)
    judged = model.eval().judge(x)
    assert ((judged.logits[:, 0] > 0) == (label > 0)).float().mean() > 0.95
    # chance is one in four for three of twelve
    near = (judged.weights.argmax(dim=1) - at).abs() <= 1
    assert near[label > 0].float().mean() > 0.7


def test_what_is_constant_over_the_clip_does_not_reach_the_transformer():
    torch.manual_seed(0)
    model = TemporalTransformer(features=16, channels=8, heads=2).eval()
    still = torch.randn(1, 1, 16).expand(-1, 9, -1)
    other = torch.randn(1, 1, 16).expand(-1, 9, -1)
    with torch.no_grad():
        torch.testing.assert_close(model(still), model(other), atol=1e-5, rtol=1e-4)


def test_positions_are_sinusoids():
    table = positions(5, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert float(table[3, 0]) == pytest.approx(0.14112, abs=1e-4)  # sin 3


def test_names_and_what_they_take():
    assert names() == ["gru", "lstm", "r2plus1d_18", "temporal_transformer", "x3d_s"]
    assert architecture("lstm").takes == "features"
    assert architecture("x3d_s").takes == "clip"
    with pytest.raises(ValueError, match="did you mean lstm"):
        create("lstn")


def test_unknown_cells_and_poolings_are_refused():
    with pytest.raises(ValueError, match="lstm or gru"):
        RecurrentDetector("rnn")
    with pytest.raises(ValueError, match="attention or mean"):
        RecurrentDetector("gru", pooling="max")


def test_motion_beside_the_features_is_heard_and_may_be_left_out():
    torch.manual_seed(0)
    model = create("gru", features=1288, motion=8).eval()
    x = torch.randn(2, 5, 1288)
    other = x.clone()
    other[..., 1280:] += 1.0
    with torch.no_grad():
        assert (model(x) - model(other)).abs().min() > 1e-4
    # 64 numbers from eight weights and a bias each, read beside 1,280 deep ones by two cells of three gates
    plain = create("gru", features=1280)
    assert parameters(model) - parameters(plain) == 64 * 9 + 64 * 2 * 3 * 128


def test_motion_is_refused_where_it_is_not_read():
    with pytest.raises(ValueError, match="gru, lstm do"):
        create("temporal_transformer", features=1288, motion=8)
    with pytest.raises(ValueError, match="cannot be of motion"):
        create("lstm", features=6, motion=8)
