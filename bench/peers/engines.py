"""Runs each engine as a process of its own on chosen cores, and gives figures in one form.

A figure is a dict: measure ("decode", "prefill" or "NxK, M=rows"), rate (tokens a second, or
GFLOP/s of a product), read_share (of the read bandwidth that was probed; None where it says
nothing), clean (nothing else was seen on the cores), version.
"""

import dataclasses
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
OTHERS_SHARE = 0.05  # of one core, that others may work while a figure still counts as clean

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


def busy_seconds():
    """What all cores have worked since the start of the machine, and what a host took from them."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """What processes that were waited for have worked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_alone(command, threads):
    """The output of a command that may use the first `threads` cores, and whether nothing else
    worked meanwhile."""
    pinned = ["taskset", "--cpu-list", f"0-{threads - 1}", *map(str, command)]
    start, others = time.monotonic(), busy_seconds() - own_seconds()
    run = subprocess.run(pinned, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0:
        raise Failure(f"exit code {run.returncode} of {' '.join(pinned)}")
    others = busy_seconds() - own_seconds() - others
    return run.stdout, others < OTHERS_SHARE * (time.monotonic() - start)


def products(command, threads):
    """The figures of a program that prints as bench_kernels --json does."""
    output, alone = run_alone(command, threads)
    head, *lines = map(json.loads, output.splitlines())
    return [{
        "measure": product_name(line["outputs"], line["inputs"], line["rows"]),
        "rate": line["operations"] / line["seconds"] / 1e9,
        "read_share": line["bandwidth_share"],
        "clean": alone and line["clean"],
        "version": head["engine"],
        "type": line["format"].split(",")[0],
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
    """oneDNN's packed bfloat16 weight, or float32 where it has no such product. Its idle threads
    spin for less than a millisecond, so that they are out of the way of the probes, and of their
    own where something else runs too."""
    figures = products(["env", "GOMP_SPINCOUNT=30000", settings.build / "bench/bench_onednn",
                        *product_options(settings, threads, shape)], threads)
    return [figure | {"engine_format": figure["type"]} for figure in figures]


def probe(settings, threads):
    """What bench_kernels' probes alone find."""
    output, _ = run_alone([settings.build / "bench/bench_kernels", "--m", 0, "--experts-m", 0,
                           "--json", "--threads", threads], threads)
    return json.loads(output)


def probed(settings, threads, command):
    """A command's output, the read bandwidth that probes found around it, and clean or not."""
    before = probe(settings, threads)
    output, alone = run_alone(command, threads)
    after = probe(settings, threads)
    return (output, (before["read_bandwidth"] + after["read_bandwidth"]) / 2,
            alone and before["clean"] and after["clean"])


def mlx_products(settings, threads, name, shape):
    """MLX's quantized_matmul; at many rows a call takes minutes and is left out."""
    rows = ",".join(str(rows) for rows in settings.rows if rows <= 8)
    if not rows:
        return []
    output, bandwidth, clean = probed(settings, threads, [
        sys.executable, HERE / "mlx_products.py", name, *shape, rows, settings.seconds])
    return [{
        "measure": product_name(*shape, line["rows"]),
        "rate": line["operations"] / line["seconds"] / 1e9,
        "read_share": line["bytes"] / line["seconds"] / bandwidth,
        "clean": clean,
        "version": line["version"],
    } for line in map(json.loads, output.splitlines())]


def engine_figures(settings, threads, command, read=json.loads):
    """Figures of a process whose output has rates of prefill and decode, and the weights' bytes."""
    output, bandwidth, clean = probed(settings, threads, command)
    found = read(output)
    shares = {"prefill": None, "decode": found["decode"] * found["weight_bytes"] / bandwidth}
    return [{"measure": measure, "rate": found[measure], "read_share": shares[measure],
             "clean": clean, "version": found["version"]} for measure in shares if measure in found]


def read_strake_bench(output):
    """The names of strake bench's fields stand here alone."""
    run, = json.loads(output)["runs"]
    context, = run["contexts"]
    return {"prefill": context["prefill"]["tokens_per_second"],
            "decode": context["decode"]["tokens_per_second"],
            "weight_bytes": run["weight_bytes_per_token"],
            "version": f"path {run['path']}"}


def strake_engine(settings, threads, name, _=None):
    """strake bench."""
    return engine_figures(settings, threads, [
        settings.build / "strake", "bench", "--shape", "llama-1b", *FORMATS[name][0],
        "--threads", threads, "--contexts", settings.prompt, "--tokens", settings.tokens,
        "--repeats", 1, "--json"], read_strake_bench)


def llamacpp_engine(settings, threads, name, _=None):
    """llama.cpp, with its own defaults."""
    kind = FORMATS[name][2]
    model = settings.work / f"{kind}.gguf"
    if not model.exists():
        partial = model.with_suffix(".partial")
        subprocess.run([sys.executable, HERE / "random_gguf.py", kind, partial], check=True)
        partial.rename(model)
    return engine_figures(settings, threads, [
        sys.executable, HERE / "llamacpp_engine.py", model, threads, settings.prompt,
        settings.tokens])


def mlx_engine(settings, threads, name, _=None):
    """MLX, decode alone and one token, which takes it seconds."""
    return engine_figures(settings, threads,
                          [sys.executable, HERE / "mlx_engine.py", name, 1])
