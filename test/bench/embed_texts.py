"""Embeds sentences, one a line, with a BERT-like ONNX model: mean of the last layer over tokens, unit length.

Usage: embed_texts.py MODEL.onnx TOKENIZER.json SENTENCES OUT.f32

Writes raw little-endian float32 in the order of the sentences, and goes on where an earlier run was stopped.
"""

import multiprocessing
import os
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

CHUNK = 4096  # sentences written at a time
BATCH = 32  # sentences of nearly equal length that the model sees at once
LONGEST = 128  # tokens, as the model was trained


model = None  # of a worker process


def open_model(path):
    global model
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def mean_of_tokens(tokens):
    """tokens: a list of id lists. Returns len(tokens) x dims float32 of unit length."""
    shape = (len(tokens), max(map(len, tokens)))
    ids = np.zeros(shape, np.int64)
    mask = np.zeros(shape, np.int64)
    for row, of_row in enumerate(tokens):
        ids[row, : len(of_row)] = of_row
        mask[row, : len(of_row)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (hidden,) = model.run(["last_hidden_state"], inputs)
    sums = (hidden * mask[:, :, None]).sum(axis=1)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def embed(workers, tokenizer, sentences):
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
    by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    batches = [by_length[begin : begin + BATCH] for begin in range(0, len(tokens), BATCH)]
    of_batches = workers.map(mean_of_tokens, [[tokens[i] for i in batch] for batch in batches], chunksize=1)
    vectors = np.empty((len(tokens), of_batches[0].shape[1]), "<f4")
    vectors[by_length] = np.concatenate(of_batches)
    return vectors


def main(model_path, tokenizer_path, sentences_path, out_path):
    tokenizer = Tokenizer.from_file(tokenizer_path)
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    with open(sentences_path, encoding="utf-8") as file:
        sentences = file.read().splitlines()
    # A process for each core: threads would wait for one another at every layer.
    context = multiprocessing.get_context("spawn")
    with context.Pool(os.cpu_count(), open_model, [model_path]) as workers, open(out_path, "ab") as out:
        row_bytes = embed(workers, tokenizer, ["one"]).nbytes
        done = out.tell() // row_bytes // CHUNK * CHUNK
        out.truncate(done * row_bytes)
        for begin in range(done, len(sentences), CHUNK):
            out.write(embed(workers, tokenizer, sentences[begin : begin + CHUNK]).tobytes())
            out.flush()
            print(f"{min(begin + CHUNK, len(sentences))} of {len(sentences)} sentences", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
