"""Attention: weighted means of values, with weights from the similarity of queries and keys.

References
----------
A. Vaswani et al., Attention is all you need, 2017.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops.joining import concatenate
from ..ops.linalg import matmul
from ..ops.padding import repeat
from ..ops.selection import where
from ..ops.shape import matrix_transpose
from ..tensor import ArrayLike, Tensor, as_tensor, raw
from .activation import dropout
from .linear import linear
from .operands import check_flags, check_floating, count, number, operand
from .softmax import softmax

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]

Generator = np.random.Generator | int | None


def _mask(function: str, argument: str, mask: ArrayLike, dtype: Any, keep: bool) -> Tensor:
    """A mask as numbers to add: booleans say what takes part (`keep`), or what does not."""
    given = as_tensor(operand(function, argument, mask))
    if given.dtype.kind == "b":
        allowed = given._array if keep else ~given._array
        return as_tensor(np.where(allowed, 0.0, -np.inf).astype(dtype))
    check_floating(function, **{argument: given})
    return given


def _weights(scores: Tensor) -> Tensor:
    """Softmax along the last axis; zeros where nothing may take part."""
    nothing = np.isneginf(scores._array).all(axis=-1, keepdims=True)
    if not nothing.any():
        return softmax(scores, -1)
    return where(nothing, 0, softmax(where(nothing, 0, scores), -1))


def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    rng: Generator = None,
) -> Tensor:
    """``softmax(query @ key^T * scale + mask) @ value``.

    Parameters
    ----------
    query : array_like, shape (..., L, E)
    key : array_like, shape (..., S, E)
    value : array_like, shape (..., S, EV)
        Axes in front are broadcast against each other.
    attn_mask : array_like, optional
        Broadcast to shape (..., L, S): booleans say which pairs take part, numbers are added to the scores.
    dropout_p : float
        Probability with which weights are dropped.
    is_causal : bool
        Whether position i attends to positions up to i only; then there may be no `attn_mask`.
    scale : float, optional
        By default ``1 / sqrt(E)``.
    enable_gqa : bool
        Whether heads (axis -3) of key and value are shared by several of the query.
    rng : numpy.random.Generator or int, optional
        For dropout.

    Returns
    -------
    Tensor, shape (..., L, EV)
        Zeros where nothing takes part.

    Raises
    ------
    ValueError, TypeError
        If shapes or options do not fit together.
    """
    function = "scaled_dot_product_attention"
    check_flags(function, is_causal=is_causal, enable_gqa=enable_gqa)
    q, k, v = (as_tensor(operand(function, name, x)) for name, x in (("query", query), ("key", key), ("value", value)))
    check_floating(function, query=q, key=k, value=v)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"{function}: arguments 'query' {q.shape}, 'key' {k.shape} and 'value' {v.shape} must have shapes "
            "(..., L, E), (..., S, E) and (..., S, EV)"
        )
    if enable_gqa:
        if min(q.ndim, k.ndim, v.ndim) < 3 or q.shape[-3] % k.shape[-3] or q.shape[-3] % v.shape[-3]:
            raise ValueError(
                f"{function}: with enable_gqa=True the heads (axis -3) of 'key' {k.shape} and 'value' {v.shape} must "
                f"divide those of 'query' {q.shape}"
            )
        k, v = repeat(k, q.shape[-3] // k.shape[-3], -3), repeat(v, q.shape[-3] // v.shape[-3], -3)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else number(function, "scale", scale)
    scores = matmul(q * factor, matrix_transpose(k))
    if is_causal:
        if attn_mask is not None:
            raise ValueError(f"{function}: arguments 'attn_mask' and 'is_causal' exclude each other")
        attn_mask = np.tril(np.ones((q.shape[-2], k.shape[-2]), bool))
    if attn_mask is not None:
        scores = scores + _mask(function, "attn_mask", attn_mask, q.dtype, True)
    weights = _weights(scores)
    if dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    return matmul(weights, v)


def multi_head_attention_forward(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: ArrayLike | None,
    in_proj_bias: ArrayLike | None,
    bias_k: ArrayLike | None,
    bias_v: ArrayLike | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: ArrayLike,
    out_proj_bias: ArrayLike | None,
    training: bool = True,
    key_padding_mask: ArrayLike | None = None,
    need_weights: bool = True,
    attn_mask: ArrayLike | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: ArrayLike | None = None,
    k_proj_weight: ArrayLike | None = None,
    v_proj_weight: ArrayLike | None = None,
    static_k: ArrayLike | None = None,
    static_v: ArrayLike | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    rng: Generator = None,
) -> tuple[Tensor, Tensor | None]:
    """Attention of several heads, with projections before and after.

    Parameters
    ----------
    query : array_like, shape (L, N, E) or (L, E)
    key : array_like, shape (S, N, EK)
    value : array_like, shape (S, N, EV)
    embed_dim_to_check : int
        ``E``.
    num_heads : int
        Divides E.
    in_proj_weight : array_like, shape (3 * E, E)
        Projections of query, key and value, one below the other.
    in_proj_bias : array_like, shape (3 * E,), optional
    bias_k, bias_v : array_like, shape (1, 1, E), optional
        One more key and value, for all to attend to.
    add_zero_attn : bool
        Add a key and value of zeros.
    dropout_p : float
        Of the attention weights, when training.
    out_proj_weight : array_like, shape (E, E)
    out_proj_bias : array_like, shape (E,), optional
    training : bool
    key_padding_mask : array_like, shape (N, S) or (S,), optional
        True where a key is to be ignored, or numbers to add.
    need_weights : bool
        Whether to return the weights.
    attn_mask : array_like, shape (L, S) or (N * num_heads, L, S), optional
        True where attention is *not* allowed, or numbers to add.
    use_separate_proj_weight : bool
        Whether `q_proj_weight` (E, E), `k_proj_weight` (E, EK) and `v_proj_weight` (E, EV) stand for `in_proj_weight`.
    q_proj_weight, k_proj_weight, v_proj_weight : array_like, optional
    static_k, static_v : array_like, shape (N * num_heads, S, E // num_heads), optional
        Keys and values after projection.
    average_attn_weights : bool
        Whether to return the mean of the weights over heads.
    is_causal : bool
        A hint that `attn_mask` is causal; it must be given.
    rng : numpy.random.Generator or int, optional

    Returns
    -------
    output : Tensor, shape (L, N, E) or (L, E)
    weights : Tensor or None
        Shape (N, L, S), or (N, num_heads, L, S) if not averaged; without N for an unbatched query.

    Raises
    ------
    ValueError, TypeError
        If shapes or options do not fit together.
    """
    function = "multi_head_attention_forward"
    check_flags(
        function, add_zero_attn=add_zero_attn, training=training, need_weights=need_weights, is_causal=is_causal,
        use_separate_proj_weight=use_separate_proj_weight, average_attn_weights=average_attn_weights,
    )  # fmt: skip
    heads = count(function, "num_heads", num_heads)
    q, k, v = (as_tensor(operand(function, name, x)) for name, x in (("query", query), ("key", key), ("value", value)))
    check_floating(function, query=q, key=k, value=v)
    if q.ndim not in (2, 3) or k.ndim != q.ndim or v.ndim != q.ndim:
        raise ValueError(
            f"{function}: arguments 'query' {q.shape}, 'key' {k.shape} and 'value' {v.shape} must all have three axes "
            "(length, batch, features), or two without the batch"
        )
    if is_causal and attn_mask is None:
        raise ValueError(f"{function}: is_causal=True is a hint about 'attn_mask', which must be given")
    batched = q.ndim == 3
    if not batched:
        q, k, v = (x[:, None, :] for x in (q, k, v))
    length, batch, features = q.shape
    if features != embed_dim_to_check or features % heads or k.shape[:2] != v.shape[:2] or k.shape[1] != batch:
        raise ValueError(
            f"{function}: 'query' has {features} features, for embed_dim_to_check {embed_dim_to_check} and {heads} "
            f"heads; 'key' is {k.shape}, 'value' {v.shape}: features must be equal and divisible, lengths and batches "
            "equal"
        )
    width = features // heads
    biases: Any = (None, None, None)
    if in_proj_bias is not None:
        bias = as_tensor(operand(function, "in_proj_bias", in_proj_bias))
        biases = tuple(bias[part * features : (part + 1) * features] for part in range(3))
    if use_separate_proj_weight:
        matrices: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
        if any(matrix is None for matrix in matrices):
            raise ValueError(f"{function}: with use_separate_proj_weight=True, all three projections must be given")
    else:
        if in_proj_weight is None:
            raise ValueError(f"{function}: argument 'in_proj_weight' is None; it must be given")
        together = as_tensor(operand(function, "in_proj_weight", in_proj_weight))
        matrices = tuple(together[part * features : (part + 1) * features] for part in range(3))
    q, k, v = (linear(x, matrix, bias) for x, matrix, bias in zip((q, k, v), matrices, biases))

    def stacked(x: Tensor, row: ArrayLike | None) -> Tensor:
        return x if row is None else concatenate([x, np.broadcast_to(as_tensor(row), (1, batch, features))], axis=0)

    if (bias_k is None) != (bias_v is None):
        raise ValueError(f"{function}: arguments 'bias_k' and 'bias_v' must be given together")
    k, v = stacked(k, bias_k), stacked(v, bias_v)
    extra = 0 if bias_k is None else 1

    def split(x: Tensor) -> Tensor:
        # (S, N, heads * width) -> (N, heads, S, width)
        return x.reshape(x.shape[0], batch, heads, width).transpose(1, 2, 0, 3)

    q, k, v = split(q), split(k), split(v)
    if static_k is not None:
        k = as_tensor(static_k).reshape(batch, heads, -1, width)
    if static_v is not None:
        v = as_tensor(static_v).reshape(batch, heads, -1, width)
    if add_zero_attn:
        zeros = np.zeros((batch, heads, 1, width), q.dtype)
        k, v = concatenate([k, zeros], axis=2), concatenate([v, zeros], axis=2)
        extra += 1
    scores = matmul(q * (1 / math.sqrt(width)), matrix_transpose(k))
    if attn_mask is not None:
        mask = _mask(function, "attn_mask", attn_mask, q.dtype, False)
        if mask.ndim == 3:
            mask = mask.reshape(batch, heads, length, mask.shape[-1])
        scores = scores + _widened(mask, extra)
    if key_padding_mask is not None:
        padding = _mask(function, "key_padding_mask", key_padding_mask, q.dtype, False)
        scores = scores + _widened(padding.reshape(batch, 1, 1, padding.shape[-1]), extra)
    weights = softmax(scores, -1)
    if training and dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    # (N, heads, L, width) -> (L, N, E)
    output = matmul(weights, v).transpose(2, 0, 1, 3).reshape(length, batch, features)
    output = linear(output, out_proj_weight, out_proj_bias)
    if not batched:
        output = output[:, 0]
    if not need_weights:
        return output, None
    shown = weights.mean(axis=1) if average_attn_weights else weights
    return output, shown if batched else shown[0]


def _widened(mask: Tensor, extra: int) -> Tensor:
    """A mask with `extra` more keys, that all may attend to."""
    if not extra:
        return mask
    free = np.zeros((*mask.shape[:-1], extra), raw(mask).dtype)
    return concatenate([mask, free], axis=-1)
