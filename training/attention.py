"""Attention over more axes than ONNX's exporter takes: batch, heads, tokens and features.

PyTorch computes it for any number of axes before the tokens; here those become one, which is the
same computation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

ATTENTION: Callable[..., Tensor] = torch.nn.functional.scaled_dot_product_attention
OPERATOR = torch.ops.aten.scaled_dot_product_attention.default
MOST_AXES = 4


class FourAxesAttention(TorchFunctionMode):
    """While it is entered, networks that are called or traced compute attention in four axes."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func is not ATTENTION:
            return func(*args, **named)
        found = in_four_axes(*args, **named)
        return func(*args, **named) if found is NotImplemented else found


def with_four_axes(program: ExportedProgram) -> ExportedProgram:
    """The same program, as it is where it has no attention over more axes."""
    is_wide = any(
        node.target is OPERATOR and node.args[0].meta["val"].ndim > MOST_AXES
        for node in program.graph.nodes
    )
    return program.run_decompositions({OPERATOR: in_four_axes}) if is_wide else program


def in_four_axes(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *rest: Any,
    **named: Any,
) -> Any:
    """Attention as PyTorch's function computes it; NotImplemented where there are no more axes."""
    if query.ndim <= MOST_AXES:
        return NotImplemented
    if attn_mask is not None and attn_mask.ndim > 2:
        wanted = (*query.shape[:-1], key.shape[-2])
        attn_mask = attn_mask.expand(wanted).flatten(1, -3)
    four = [tensor.flatten(1, -3) for tensor in (query, key, value)]
    found: Tensor = ATTENTION(*four, attn_mask, *rest, **named)
    return found.unflatten(1, query.shape[1:-2])
