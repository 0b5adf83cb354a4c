"""Strake and others side by side: interleaved processes, medians and ratios.

    bench/peers/run [OPTIONS]

installs what this needs and runs it. Each format is measured in pairs, Strake and a peer one after
the other; the next round takes them the other way round. Writes results.json, results.md and
peers.svg into build/peers; --record also puts the last two into docs/.
"""

import argparse
import datetime
import itertools
import json
import pathlib
import platform
import re
import shlex
import sys

import engines
import plot
import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- peers: begin -->\n", "<!-- peers: end -->\n"


def words(kind):
    """An option's type: values between commas."""
    return lambda text: [kind(word) for word in text.split(",")]


def shape(text):
    """An option's type: NxK."""
    outputs, inputs = text.split("x")
    return int(outputs), int(inputs)


def parse_options(arguments):
    """The options."""
    parser = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=words(int), default=[1, 2], help="1,2: each a run")
    parser.add_argument("--formats", type=words(str), default=list(engines.FORMATS),
                        help=",".join(engines.FORMATS))
    parser.add_argument("--shapes", type=words(shape), default=[(4096, 4096)], help="NxK,...")
    parser.add_argument("--rows", type=words(int), default=[1, 8, 128, 512])
    parser.add_argument("--seconds", type=float, default=0.3, help="of each product")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of prefill")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of decode")
    parser.add_argument("--only", choices=["products", "engines"])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/peers")
    parser.add_argument("--record", action="store_true", help="into docs/results.md too")
    options = parser.parse_args(arguments)
    unknown = set(options.formats) - set(engines.FORMATS)
    if unknown:
        parser.error(f"--formats: {', '.join(engines.FORMATS)} expected, "
                     f"found {', '.join(sorted(unknown))}")
    return options


def pairs(options):
    """What a round measures: format, threads, shape of products or None, Strake's and a peer's
    function, and the peer's name and format."""
    for threads, name in itertools.product(options.threads, options.formats):
        if options.only != "engines":
            for size in options.shapes:
                yield (name, threads, size, engines.strake_products,
                       engines.onednn_products, "oneDNN", "bf16")
                if min(options.rows) <= 8:
                    yield (name, threads, size, None, engines.mlx_products, "MLX", name)
        if options.only != "products":
            yield (name, threads, None, engines.strake_engine,
                   engines.llamacpp_engine, "llama.cpp", engines.FORMATS[name][2])
            yield name, threads, None, None, engines.mlx_engine, "MLX", name


def measure(options):
    """The records of all rounds."""
    settings = engines.Settings(options.build, options.out, options.rows, options.seconds,
                                options.prompt, options.tokens)
    records = []
    for turn in range(options.rounds):
        for name, threads, size, ours, theirs, peer, peer_format in pairs(options):
            sides = [(ours, "Strake", name), (theirs, peer, peer_format)]
            for function, engine, its_format in sides if turn % 2 == 0 else reversed(sides):
                if function is None:  # measured beside another peer
                    continue
                for figure in function(settings, threads, name, size):
                    record = {"round": turn, "format": name, "threads": threads,
                              "engine": engine, "engine_format": its_format} | figure
                    records.append(record)
                    print("{round}  {threads} threads  {engine:<9} {engine_format:<8} "
                          "{measure:<18} {rate:10.2f}{noisy}".format(
                              noisy="" if record["clean"] else "  noisy", **record), flush=True)
    return records


def machine():
    """The machine, in words."""
    cpus = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{len(cpus)} cores of {cpus[0] if cpus else platform.machine()}, {system}"


def record_in_docs(page, text):
    """The page with the text between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise ValueError(f"no {BEGIN.strip()} ... {END.strip()} in the page")
    return head + BEGIN + text + END + tail


def main(arguments):
    """Measures and writes."""
    options = parse_options(arguments)
    results = {"date": datetime.date.today().isoformat(), "machine": machine(),
               "command": shlex.join(["bench/peers/run", *arguments]),
               "prompt": options.prompt, "tokens": options.tokens, "rounds": options.rounds}
    results["records"] = measure(options)
    text, image = report.markdown(results), plot.svg(report.panels(results))
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "results.md").write_text(text)
    (options.out / "peers.svg").write_text(image)
    if options.record:
        page = ROOT / "docs/results.md"
        page.write_text(record_in_docs(page.read_text(), text))
        (ROOT / "docs/peers.svg").write_text(image)
    print("\n" + text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except engines.Failure as failure:
        sys.exit(f"peers: {failure}")
