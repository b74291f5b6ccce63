"""What every architecture has in common: feature maps, pooled features, linear layer, freezing, heat map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module, ABC):
    """A classifier of pictures in three steps: `forward_features`, `pool`, `classifier`.

    A subclass sets `num_features` (D), `dropout` and `classifier`, and writes the abstract methods. As
    written here, features are pooled by their mean over the picture; a network that pools otherwise
    overrides `pool` and `activation_map`.
    """

    num_features: int
    dropout: nn.Dropout
    classifier: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        self._frozen = 0

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to feature maps (N, C, h, w)."""

    @abstractmethod
    def parts(self) -> Sequence[nn.Module]:
        """Return everything but the linear layer as modules, in the order in which pictures pass them."""

    @abstractmethod
    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give weights in a public format this project's names; unknown names stay as they are.

        Raises:
            ValueError: the names belong to no format that this architecture knows.
        """

    def pool(self, features: Tensor) -> Tensor:
        """Map feature maps (N, C, h, w) to pooled features (N, D)."""
        return features.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to logits (N, num_classes)."""
        return self.classifier(self.dropout(self.pool(self.forward_features(x))))

    def activation_map(self, features: Tensor) -> Tensor:
        """Return what each place adds to the logit of a network with one output, (N, h, w).

        The mean over the map plus the bias of the linear layer is the logit. This is the class activation
        map (Zhou et al. 2016, 1512.04150); with global average pooling and one linear layer Grad-CAM
        (1610.02391) gives the same up to its rectifier.
        """
        return functional.conv2d(features, self.classifier.weight[:, :, None, None]).squeeze(1)

    def freeze_backbone(self, parts: int | None = None) -> None:
        """Hold the first `parts` parts still, all but the linear layer where None: weights and averages.

        Raises:
            ValueError: there are not that many parts.
        """
        count = len(self.parts()) if parts is None else parts
        if not 0 <= count <= len(self.parts()):
            raise ValueError(f"cannot freeze {count} parts: {type(self).__name__} has {len(self.parts())}")
        for index, part in enumerate(self.parts()):
            part.requires_grad_(index >= count)
            # Parts that stay free keep their mode: training may hold some of their averages still.
            if index < count:
                part.eval()
            elif index < self._frozen:
                part.train(self.training)
        self._frozen = count

    def fine_tune(self) -> None:
        """Let every weight learn again."""
        self.freeze_backbone(0)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen parts stay in evaluation mode (no drop-out, averages stand still)."""
        super().train(mode)
        for part in self.parts()[: self._frozen]:
            part.eval()
        return self
