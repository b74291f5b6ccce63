"""The sheet shows, a row a face, the face, the blended copy, the mask and the result."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")

from unmask.data.contact_sheet import GAP, draw_sheet
from unmask.data.selfblend import SelfBlend


def test_tiles_stand_in_order_between_white_gaps():
    square = np.full((10, 10, 3), 10, np.uint8)
    mask = np.zeros((10, 10), np.float32)
    mask[5] = 1.0
    blend = SelfBlend(np.full_like(square, 30), np.full_like(square, 20), mask)
    sheet = draw_sheet([(square, blend)] * 2)
    step = 10 + GAP
    assert sheet.shape == (2 * step + GAP, 4 * step + GAP, 3)
    assert (sheet[:GAP] == 255).all()
    assert (sheet[:, :GAP] == 255).all()
    row = sheet[GAP + step + 5, GAP + 5 :: step, 0]  # the sixth line of the second row
    assert row.tolist() == [10, 20, 255, 30]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="no face"):
        draw_sheet([])
