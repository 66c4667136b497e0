"""The objectives once more in plain numpy loops over stays, written from the formulas and nothing else."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def direction(queries, candidates, tau):
    """Mean over k of −log softmax_m(cos(q_k, c_m) / τ)[k]."""
    losses = []
    for k, query in enumerate(queries):
        logits = [cosine(query, candidate) / tau for candidate in candidates]
        losses.append(np.log(np.sum(np.exp(logits))) - logits[k])
    return float(np.mean(losses))


def everything(x):
    return np.ones((x.shape[1], x.shape[0]), dtype=bool)


def infonce(x, present, tau):
    both = present.all(1)
    if both.sum() < 2:
        return 0.0
    a, b = x[0][both], x[1][both]
    return (direction(a, b, tau) + direction(b, a, tau)) / 2


def all_pairs(x, present, tau):
    terms = []
    for i, j in combinations(range(len(x)), 2):
        both = present[:, i] & present[:, j]
        if both.sum() >= 2:
            terms.append(infonce(x[[i, j]], present[:, [i, j]], tau))
    return float(np.mean(terms)) if terms else 0.0


def softmax(logits):
    weights = np.exp(logits - np.max(logits))
    return weights / weights.sum()


def ovo(x, present, tau, logits=None, beta=0.0):
    terms, kept = [], []
    for i in range(len(x)):
        stays = [k for k in range(x.shape[1]) if present[k, i] and present[k].sum() >= 2]
        if len(stays) < 2:
            continue
        means = [np.mean([x[j, k] for j in range(len(x)) if j != i and present[k, j]], axis=0) for k in stays]
        terms.append(direction(x[i, stays], means, tau))
        kept.append(i)
    if not terms:
        return 0.0
    weights = softmax(np.zeros(len(kept)) if logits is None else np.asarray(logits)[kept])
    return float(weights @ terms + beta * np.sum(weights * np.log(weights * len(kept))))


def released_ovo(x, present, tau, logits):
    terms, kept = [], []
    for i in range(len(x)):
        inner = []
        for j in range(len(x)):
            both = present[:, i] & present[:, j]
            if i != j and both.sum() >= 2:
                inner.append(direction(x[i][both], x[j][both], tau))
        if inner:
            terms.append(sum(inner))
            kept.append(i)
    return float(softmax(np.asarray(logits)[kept]) @ terms) if terms else 0.0


def siglip(x, present, tau, bias):
    terms = []
    for i, j in combinations(range(len(x)), 2):
        stays = np.flatnonzero(present[:, i] & present[:, j])
        if len(stays) < 2:
            continue
        total = 0.0
        for k, m in product(stays, stays):
            sign = 1 if k == m else -1
            total += np.log1p(np.exp(-sign * (cosine(x[i, k], x[j, m]) / tau + bias)))
        terms.append(total / len(stays))
    return float(np.mean(terms)) if terms else 0.0


def gram(x, present, tau, anchors):
    x = x[:, present.all(1)]
    x = x / np.linalg.norm(x, axis=2, keepdims=True)
    count = x.shape[1]
    if count < 2:
        return 0.0
    terms = []
    for anchor in anchors:
        volume = np.zeros((count, count))
        for k, m in product(range(count), range(count)):
            vectors = np.stack([x[i, m] if i == anchor else x[i, k] for i in range(len(x))])
            volume[k, m] = np.sqrt(np.linalg.det(vectors @ vectors.T))
        logits = -volume / tau
        rows = np.log(np.exp(logits).sum(1)) - np.diag(logits)
        columns = np.log(np.exp(logits).sum(0)) - np.diag(logits)
        terms.append((rows.mean() + columns.mean()) / 2)
    return float(np.mean(terms))


def symile(x, present, tau):
    """All combinations of the other modalities' stays, for any number of modalities."""
    x = x[:, present.all(1)]
    x = x / np.linalg.norm(x, axis=2, keepdims=True)
    modalities, count, dim = x.shape
    if count < 2:
        return 0.0
    factor = dim ** ((modalities - 2) / 2) / tau
    terms = []
    for anchor in range(modalities):
        partners = [i for i in range(modalities) if i != anchor]
        losses = []
        for k in range(count):
            logits = [
                factor * np.sum(x[anchor, k] * np.prod([x[i, m] for i, m in zip(partners, stays, strict=True)], axis=0))
                for stays in product(range(count), repeat=len(partners))
            ]
            positive = factor * np.sum(np.prod(x[:, k], axis=0))
            losses.append(np.log(np.sum(np.exp(logits))) - positive)
        terms.append(np.mean(losses))
    return float(np.mean(terms))


def normal(vector):
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def gated_symile(x, present, tau, own):
    """`own` holds the objective's parameters as arrays, by name."""
    modalities, count, dim = x.shape
    temperature = np.log1p(np.exp(own["gate_temperature"])) + 0.1
    strength = sigmoid(own["gate_strength"])

    def null(candidate, target):
        centred = candidate - candidate.mean()
        normed = centred / np.sqrt(np.mean(centred**2) + 1e-5) * own["null.0.weight"] + own["null.0.bias"]
        hidden = np.maximum(own["null.1.weight"] @ normed + own["null.1.bias"], 0)
        return sigmoid((own["null.3.weight"] @ hidden + own["null.3.bias"] + own["null_bias"][target])[0] / temperature)

    def score(stay, candidate, target):
        product = normal(x[target, candidate])
        query = product @ own["queries"][target]
        for m in range(modalities):
            if m == target:
                continue
            neutral = normal(own["neutral"][m])
            if not present[stay, m]:
                product = product * neutral
                continue
            vector = normal(x[m, stay])
            gate = sigmoid(cosine(query, vector @ own["keys"][m]) / temperature)
            gate = gate * (1 - null(normal(x[target, candidate]), target))
            gated = gate * vector + (1 - gate) * neutral
            product = product * normal((1 - strength) * vector + strength * gated)
        return dim ** ((modalities - 2) / 2) / tau * product.sum()

    terms = []
    for target in range(modalities):
        stays = [k for k in range(count) if present[k, target] and present[k].sum() >= 2]
        if len(stays) < 2:
            continue
        scores = np.array([[score(k, n, target) for n in stays] for k in stays])
        terms.append(np.mean(np.log(np.exp(scores).sum(1)) - np.diag(scores)))
    return float(np.mean(terms)) if terms else 0.0


def confu(x, present, tau, fused, own):
    """`own` holds the objective's parameters as arrays, by name."""
    pairs, alone, together = list(combinations(range(len(x)), 2)), [], []
    for place, (i, j) in enumerate(pairs):
        both = present[:, i] & present[:, j]
        if both.sum() >= 2:
            alone.append(infonce(x[[i, j]], present[:, [i, j]], tau))
        for third in range(len(x)):
            every = both & present[:, third]
            if third in (i, j) or every.sum() < 2:
                continue
            joint = []
            for k in np.flatnonzero(every):
                inner = normal(x[i, k]) @ own["first"][place, 0] + normal(x[j, k]) @ own["first"][place, 1]
                hidden = np.maximum(inner * np.sqrt(x.shape[2]) + own["first_bias"][place], 0)
                joint.append(hidden @ own["second"][place] + own["second_bias"][place])
            other = x[third][every]
            together.append((direction(joint, other, tau) + direction(other, joint, tau)) / 2)
    if not (alone and together):
        return float(np.mean(alone)) if alone else 0.0
    return float((1 - fused) * np.mean(alone) + fused * np.mean(together))


def orders(modalities):
    return list(permutations(range(modalities)))
