"""Recall@10 and queries a second of hnswlib and of Google's ScaNN, in this process, by one thread.

Usage: in_process.py VECTORS.f32 DIMENSIONS

Vectors are scaled to unit length and compared by inner product; 5,000 random ones are held out, 2,000 of them queries.
"""

import sys
import time

import hnswlib
import numpy as np
from scann.scann_ops.py import scann_ops_pybind

HELD_OUT = 5000
QUERIES = 2000
NEAREST = 10
ROUNDS = 3


def read(path, dimensions):
    vectors = np.fromfile(path, dtype="<f4").reshape(-1, dimensions)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.random.default_rng(1).permutation(len(vectors))
    return vectors[order[HELD_OUT:]].copy(), vectors[order[:QUERIES]].copy()


def exact(rows, queries):
    batches = [queries[i : i + 100] @ rows.T for i in range(0, len(queries), 100)]
    return np.concatenate([np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST] for scores in batches])


def measure(name, search, queries, truth):
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        answers = [search(query) for query in queries]
        seconds.append(time.perf_counter() - start)
    found = sum(len(set(answer) & set(true)) for answer, true in zip(answers, truth))
    per_second = len(queries) / np.median(seconds)
    print(f"{name:44} recall {found / truth.size:.4f} {per_second:8,.0f} queries/s", flush=True)


def measure_hnswlib(rows, queries, truth):
    index = hnswlib.Index(space="ip", dim=rows.shape[1])
    index.init_index(len(rows), M=16, ef_construction=64)
    index.add_items(rows)
    for ef in (100, 200, 400, 800):
        index.set_ef(ef)
        search = lambda query: index.knn_query(query, NEAREST, num_threads=1)[0][0]
        measure(f"hnswlib, M = 16, ef_construction = 64, ef = {ef}", search, queries, truth)


def measure_scann(rows, queries, truth):
    builder = scann_ops_pybind.builder(rows, NEAREST, "dot_product")
    builder = builder.tree(num_leaves=1284, num_leaves_to_search=80, training_sample_size=250000)
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
    for leaves in (40, 80, 160, 320):
        search = lambda query: index.search(query, leaves_to_search=leaves)[0]
        measure(f"ScaNN, 1,284 leaves, {leaves} of them searched", search, queries, truth)


def main(path, dimensions):
    rows, queries = read(path, int(dimensions))
    truth = exact(rows, queries)
    measure_hnswlib(rows, queries, truth)
    measure_scann(rows, queries, truth)


if __name__ == "__main__":
    main(*sys.argv[1:])
