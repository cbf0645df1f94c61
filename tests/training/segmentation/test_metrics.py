from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.segmentation.data import LABELS, VOID, read_mask
from training.segmentation.evaluate import scores_of
from training.segmentation.fit import class_weights, objective
from training.segmentation.metrics import class_ious, count_pixels, mean_iou, pixel_accuracy


def test_scores_by_hand() -> None:
    truth = np.array([[1, 1, 2, 2], [0, 0, 2, 2]], np.uint8)
    found = np.array([[1, 2, 2, 2], [3, 4, 2, 1]], np.uint8)
    counts = count_pixels(truth, found)
    assert counts.sum() == 6
    ious = class_ious(counts)
    assert ious[:2] == pytest.approx([1 / 3, 3 / 5])
    assert np.isnan(ious[2:]).all()
    assert mean_iou(counts) == pytest.approx((1 / 3 + 3 / 5) / 2)
    assert pixel_accuracy(counts) == pytest.approx(4 / 6)


def test_images_are_meaned_beside_all_pixels_together() -> None:
    right = count_pixels(np.full((9, 9), 1, np.uint8), np.full((9, 9), 1, np.uint8))
    wrong = count_pixels(np.full((1, 1), 2, np.uint8), np.full((1, 1), 1, np.uint8))
    scores = scores_of([right, wrong])
    assert scores.image_mean_iou == 0.5
    assert scores.ious["building"] == pytest.approx(81 / 82, abs=1e-4)
    assert scores.pixel_accuracy == pytest.approx(81 / 82, abs=1e-4)


def test_what_nobody_annotated_teaches_nothing() -> None:
    logits = torch.randn(1, len(LABELS), 4, 4, requires_grad=True)
    masks = torch.full((1, 4, 4), VOID)
    masks[0, 0, 0] = 3
    weights = torch.ones(len(LABELS))
    loss = objective(logits, masks, weights, 0.0)
    assert loss.item() == pytest.approx(
        functional.cross_entropy(logits[:, :, 0, 0], masks[:, 0, 0]).item()
    )
    objective(logits, masks, weights, 0.5).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 0, 0].abs().sum() > 0
    assert logits.grad[0, :, 1:].abs().sum() == 0


def test_a_right_answer_costs_nothing() -> None:
    masks = torch.randint(1, len(LABELS), (2, 8, 8))
    logits = 50 * functional.one_hot(masks, len(LABELS)).permute(0, 3, 1, 2).float()
    assert objective(logits, masks, torch.ones(len(LABELS)), 0.5).item() < 1e-6


def test_rare_classes_weigh_more_and_the_mean_pixel_one() -> None:
    shares = np.array([0, 0.1, 0.9, 0, 0, 0])
    weights = class_weights(shares, 0.5).numpy()
    assert weights[1] / weights[2] == pytest.approx(3)
    assert (weights * shares).sum() == pytest.approx(1)
    assert weights[VOID] == 0


def test_a_mask_of_another_colour_is_refused() -> None:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (2, 2), (1, 2, 3)).save(buffer, "PNG")
    with pytest.raises(ValueError, match=r"\(1, 2, 3\)"):
        read_mask(buffer.getvalue())
