"""Runs each engine as a process of its own on chosen cores, and gives figures in one form.

A figure is a dict: measure ("decode", "prefill" or "NxK, M=rows"), rate (tokens a second, or
GFLOP/s of a product), read_share (of the read bandwidth that was probed; None where it says
nothing), clean (nothing else was seen on the cores), version.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent

# Format, as the tables call it: strake bench's options, bench_kernels' name, llama.cpp's nearest.
FORMATS = {
    "mxfp8": (["--mode", "mxfp8"], "mxfp8", "q8_0"),
    "mxfp4": (["--mode", "mxfp4"], "mxfp4", "mxfp4"),
    "nvfp4": (["--mode", "nvfp4"], "nvfp4", "nvfp4"),
    "affine 8": (["--mode", "affine", "--bits", "8"], "affine:8", "q8_0"),
    "affine 4": (["--mode", "affine", "--bits", "4"], "affine:4", "q4_0"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for every engine."""

    build: pathlib.Path  # holds Strake's programs
    work: pathlib.Path   # holds the models of others
    rows: list[int]
    seconds: float       # of each product
    prompt: int
    tokens: int


class Failure(RuntimeError):
    """A process did not do what it should."""


def run_lines(command, threads):
    """The JSON lines of a command that may use the first `threads` cores."""
    pinned = ["taskset", "--cpu-list", f"0-{threads - 1}", *map(str, command)]
    run = subprocess.run(pinned, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0:
        raise Failure(f"exit code {run.returncode} of {' '.join(pinned)}")
    return run.stdout


def json_lines(command, threads):
    """The same, parsed."""
    return [json.loads(line) for line in run_lines(command, threads).splitlines()]


def products(command, threads):
    """The figures of a program that prints as bench_kernels --json does."""
    head, *lines = json_lines(command, threads)
    return [{
        "measure": product_name(line["outputs"], line["inputs"], line["rows"]),
        "rate": line["operations"] / line["seconds"] / 1e9,
        "read_share": line["bandwidth_share"],
        "clean": line["clean"],
        "version": head["engine"],
    } for line in lines]


def product_name(outputs, inputs, rows):
    """The measure of a product."""
    return f"{outputs}x{inputs}, M={rows}"


def product_options(settings, threads, shape):
    """What bench_kernels and bench_onednn are told alike."""
    return ["--threads", threads, "--shape", "{},{}".format(*shape), "--json",
            "--m", ",".join(map(str, settings.rows)), "--seconds", settings.seconds]


def strake_products(settings, threads, name, shape):
    """Strake's kernels."""
    return products([settings.build / "bench/bench_kernels", "--modes", FORMATS[name][1],
                     "--experts-m", 0, *product_options(settings, threads, shape)], threads)


def onednn_products(settings, threads, _, shape):
    """oneDNN's packed bfloat16 weight."""
    return products([settings.build / "bench/bench_onednn",
                     *product_options(settings, threads, shape)], threads)


def probe(settings, threads):
    """What bench_kernels' probes alone find."""
    return json_lines([settings.build / "bench/bench_kernels", "--m", 0, "--experts-m", 0,
                       "--json", "--threads", threads], threads)[0]


def probed(settings, threads, measure):
    """A process' output, and what probes found around it: the read bandwidth, and clean or not."""
    before = probe(settings, threads)
    output = measure()
    after = probe(settings, threads)
    bandwidth = (before["read_bandwidth"] + after["read_bandwidth"]) / 2
    return output, bandwidth, before["clean"] and after["clean"]


def mlx_products(settings, threads, name, shape):
    """MLX's quantized_matmul; at many rows a call takes minutes and is left out."""
    rows = ",".join(str(rows) for rows in settings.rows if rows <= 8)
    if not rows:
        return []
    lines, bandwidth, clean = probed(settings, threads, lambda: json_lines(
        [sys.executable, HERE / "mlx_products.py", name, *shape, rows, settings.seconds], threads))
    return [{
        "measure": product_name(*shape, line["rows"]),
        "rate": line["operations"] / line["seconds"] / 1e9,
        "read_share": line["bytes"] / line["seconds"] / bandwidth,
        "clean": clean,
        "version": f"MLX {line['version']}",
    } for line in lines]


def engine_figures(settings, threads, measure):
    """Figures of a process that gives rates of prefill and decode, and the weights' bytes."""
    found, bandwidth, clean = probed(settings, threads, measure)
    shares = {"prefill": None, "decode": found["decode"] * found["weight_bytes"] / bandwidth}
    return [{"measure": measure, "rate": found[measure], "read_share": shares[measure],
             "clean": clean, "version": found["version"]} for measure in shares if measure in found]


def strake_engine(settings, threads, name, _=None):
    """strake bench. The names of its fields stand here alone."""
    def measure():
        run, = json.loads(run_lines(
            [settings.build / "strake", "bench", "--shape", "llama-1b", *FORMATS[name][0],
             "--threads", threads, "--contexts", settings.prompt, "--tokens", settings.tokens,
             "--repeats", 1, "--json"], threads))["runs"]
        context, = run["contexts"]
        return {"prefill": context["prefill"]["tokens_per_second"],
                "decode": context["decode"]["tokens_per_second"],
                "weight_bytes": run["weight_bytes_per_token"],
                "version": f"path {run['path']}"}
    return engine_figures(settings, threads, measure)


def llamacpp_engine(settings, threads, name, _=None):
    """llama.cpp, with what llama-cpp-python takes as defaults."""
    kind = FORMATS[name][2]
    model = settings.work / f"{kind}.gguf"
    if not model.exists():
        partial = model.with_suffix(".partial")
        subprocess.run([sys.executable, HERE / "random_gguf.py", kind, partial], check=True)
        partial.rename(model)

    def measure():
        found, = json_lines([sys.executable, HERE / "llamacpp_engine.py", model, threads,
                             settings.prompt, settings.tokens], threads)
        return found | {"version": f"llama-cpp-python {found['version']}"}
    return engine_figures(settings, threads, measure)


def mlx_engine(settings, threads, name, _=None):
    """MLX, decode alone and one token, which takes it seconds."""
    def measure():
        found, = json_lines([sys.executable, HERE / "mlx_engine.py", name, 1], threads)
        return found | {"version": f"MLX {found['version']}"}
    return engine_figures(settings, threads, measure)
