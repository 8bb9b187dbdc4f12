#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The encoder beside ONNX Runtime on the same weights and core.

    python3 -m venv V && V/bin/pip install onnxruntime onnx numpy
    taskset -c 1 V/bin/python tests/bench/peer_minilm.py MODEL_FOLDER BENCH_ENCODE MODEL.lmodel [ROUNDS [TURNS]]

MODEL_FOLDER holds model.safetensors; BENCH_ENCODE is build/<arch>/tests/bench/bench_encode. The graph is made of ONNX
Runtime's own fused nodes (Attention, SkipLayerNormalization, BiasGelu), its weights quantised by onnxruntime.quantization:
dynamic, per output channel, symmetric int8. One thread each, in turns; times are CPU time of the thread; a figure is the
median of the turns' medians. Prints one JSON object a line. Also says how near the peer's vectors are to the golden ones.
"""
import json
import logging
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

DIM, HEADS, HIDDEN, LAYERS, PIECES_MAX = 384, 12, 1536, 6, 256
TOKENS = (8, 16, 32, 64, 128)
MS = "com.microsoft"
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "data" / "minilm_golden.jsonl"


def tensors(folder):
    raw = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8:8 + size]), raw[8 + size:]
    return {name: np.frombuffer(data[t["data_offsets"][0]:t["data_offsets"][1]], np.float32).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__" and t["dtype"] == "F32"}


class Graph:
    """Nodes and constants of the encoder: ids (batch × tokens) to token vectors."""

    def __init__(self, weights):
        self.w, self.nodes, self.constants = weights, [], []

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind, inputs, domain="", **attributes):
        out = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], name=out, domain=domain, **attributes))
        return out

    def linear(self, x, prefix, name):
        return self.node("MatMul", [x, self.constant(f"{name}.w", self.w[f"{prefix}.weight"].T)])

    def skip_norm(self, x, skip, norm, bias, name):
        inputs = [x, skip, self.constant(f"{name}.gain", self.w[f"{norm}.weight"]),
                  self.constant(f"{name}.shift", self.w[f"{norm}.bias"])]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        return self.node("SkipLayerNormalization", inputs, MS, epsilon=1e-12)

    def layer(self, x, i):
        p, w = f"encoder.layer.{i}", self.w
        parts = [f"{p}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = self.constant(f"{i}.qkv", np.concatenate([w[f"{part}.weight"].T for part in parts], 1))
        bias = self.constant(f"{i}.qkv.bias", np.concatenate([w[f"{part}.bias"] for part in parts]))
        heads = self.node("Attention", [x, weight, bias], MS, num_heads=HEADS)
        out = self.linear(heads, f"{p}.attention.output.dense", f"{i}.out")
        x = self.skip_norm(out, x, f"{p}.attention.output.LayerNorm", w[f"{p}.attention.output.dense.bias"], f"{i}.norm")
        up = self.linear(x, f"{p}.intermediate.dense", f"{i}.up")
        up = self.node("BiasGelu", [up, self.constant(f"{i}.up.bias", w[f"{p}.intermediate.dense.bias"])], MS)
        down = self.linear(up, f"{p}.output.dense", f"{i}.down")
        return self.skip_norm(down, x, f"{p}.output.LayerNorm", w[f"{p}.output.dense.bias"], f"{i}.end")

    def model(self):
        w = self.w
        word = self.node("Gather", [self.constant("word", w["embeddings.word_embeddings.weight"]), "ids"])
        place = self.node("Gather", [self.constant("position", w["embeddings.position_embeddings.weight"]
                                                   + w["embeddings.token_type_embeddings.weight"][0]), "positions"])
        x = self.skip_norm(word, place, "embeddings.LayerNorm", None, "embedding")
        for i in range(LAYERS):
            x = self.layer(x, i)
        shape = ["batch", "tokens"]
        graph = helper.make_graph(self.nodes, "minilm", [
            helper.make_tensor_value_info("ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("positions", TensorProto.INT64, shape)],
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape + [DIM])], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)], ir_version=8)


def session(folder, scratch):
    plain, quantised = f"{scratch}/float.onnx", f"{scratch}/int8.onnx"
    onnx.save(Graph(tensors(folder)).model(), plain)
    logging.disable(logging.WARNING)  # it proposes a pre-processing that fused nodes do not need
    quantize_dynamic(plain, quantised, weight_type=QuantType.QInt8, per_channel=True,
                     op_types_to_quantize=["MatMul", "Attention", "Gather"], extra_options={"WeightSymmetric": True, "DefaultTensorType": TensorProto.FLOAT})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(quantised, options, providers=["CPUExecutionProvider"])


def inputs(ids):
    ids = np.asarray(ids, np.int64)
    return {"ids": ids, "positions": np.ascontiguousarray(np.broadcast_to(np.arange(ids.shape[1]), ids.shape))}


def nearness(peer):
    cosines = []
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)
        want = np.array(text["vector"])
        mean = peer.run(None, inputs([text["ids"]]))[0][0].mean(0)
        cosines.append(float(mean @ want / np.linalg.norm(mean) / np.linalg.norm(want)))
    return min(cosines), statistics.mean(cosines)


def peer_us(peer, tokens, texts, rounds):
    """Median CPU time of one call, per text; its pooling is left out."""
    seed, row = 1, []
    for _ in range(PIECES_MAX):
        seed = (seed * 1664525 + 1013904223) % 2**32
        row.append(1000 + (seed >> 8) % 20000)
    given = inputs(np.array(row[:tokens * texts]).reshape(texts, tokens))
    for _ in range(3):
        peer.run(None, given)
    times = []
    for _ in range(rounds):
        start = time.thread_time_ns()
        peer.run(None, given)
        times.append(time.thread_time_ns() - start)
    return statistics.median(times) / 1e3 / texts


def ours_us(program, model, rounds):
    """{(variant, tokens): (one, batch)}"""
    out = subprocess.run([program, model, str(rounds), *map(str, TOKENS)], stdout=subprocess.PIPE, check=True, text=True).stdout
    lines = map(json.loads, out.splitlines())
    return {(f["variant"], f["tokens"]): (f["median_us"], f["batch_us"]) for f in lines}


def main():
    folder, program, model = sys.argv[1:4]
    rounds, turns = (int(n) for n in (sys.argv[4:6] + ["30", "3"][len(sys.argv[4:6]):]))
    with tempfile.TemporaryDirectory() as scratch:
        peer = session(folder, scratch)
        least, mean = nearness(peer)
        print(json.dumps({"peer": f"onnxruntime {onnxruntime.__version__}", "cosine_least": round(least, 4),
                          "cosine_mean": round(mean, 4)}))
        found = {}
        for _ in range(turns):
            for key, (one, batch) in ours_us(program, model, rounds).items():
                found.setdefault(key, []).append((one, batch))
            for tokens in TOKENS:
                pair = peer_us(peer, tokens, 1, rounds), peer_us(peer, tokens, PIECES_MAX // tokens, max(rounds // 4, 3))
                found.setdefault(("onnxruntime", tokens), []).append(pair)
    middle = {key: [statistics.median(column) for column in zip(*pairs)] for key, pairs in found.items()}
    for (name, tokens), (one, batch) in middle.items():
        other = middle["onnxruntime", tokens]
        print(json.dumps({"encoder": name, "tokens": tokens, "us": round(one, 1), "texts_per_second": round(1e6 / one),
                          "batch_us": round(batch, 1), "batch_texts_per_second": round(1e6 / batch),
                          "times_onnxruntime": round(other[0] / one, 2), "batch_times_onnxruntime": round(other[1] / batch, 2)}))


main()
