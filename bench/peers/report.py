"""Medians, ratios, bars and tables of what peers.py recorded."""

import collections
import dataclasses
import statistics

FEWEST = 3  # clean rounds; where there are fewer, all count, and the figure has an asterisk


@dataclasses.dataclass(frozen=True)
class Bar:
    """A ratio that Strake is to reach against a peer."""

    words: str
    peer: str
    measures: tuple[str, ...]  # ends of their names
    least: float
    threads: int | None = None
    formats: tuple[str, ...] | None = None


BARS = (
    Bar("products of 128 and 512 rows, of oneDNN's in bfloat16", "oneDNN", ("M=128", "M=512"),
        0.94),
    Bar("decode on 1 core, of llama.cpp's", "llama.cpp", ("decode",), 1.25, threads=1),
    Bar("decode on 2 cores, of llama.cpp's", "llama.cpp", ("decode",), 1.03, threads=2),
    Bar("prefill, of llama.cpp's", "llama.cpp", ("prefill",), 1.4),
    Bar("decode in mxfp8, of MLX's", "MLX", ("decode",), 100, formats=("mxfp8",)),
)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A median over rounds."""

    value: float
    noisy: bool

    def __format__(self, spec):
        return format(self.value, spec) + ("*" if self.noisy else "")


def middle(values):
    """The Figure of (value, clean) pairs, None of none."""
    clean = [value for value, is_clean in values if is_clean]
    noisy = len(clean) < FEWEST
    found = [value for value, _ in values] if noisy else clean
    return Figure(statistics.median(found), noisy) if found else None


class Medians:
    """Looks figures up by measure, threads, format and engine."""

    def __init__(self, records):
        self.rounds = collections.defaultdict(lambda: collections.defaultdict(list))
        self.formats = list(dict.fromkeys(record["format"] for record in records))
        self.threads = sorted({record["threads"] for record in records})
        self.measures = list(dict.fromkeys(record["measure"] for record in records))
        for record in records:
            key = record["measure"], record["threads"], record["format"], record["engine"]
            self.rounds[key][record["round"]].append(record)

    def of(self, field, measure, threads, name, engine):
        """The median of a field, None where it was not measured."""
        found = self.rounds.get((measure, threads, name, engine), {})
        return middle([(record[field], record["clean"]) for records in found.values()
                       for record in records if record[field] is not None])

    def ratio(self, measure, threads, name, peer):
        """Strake's rate over the peer's, the median of each round's ratio."""
        ours = self.rounds.get((measure, threads, name, "Strake"), {})
        theirs = self.rounds.get((measure, threads, name, peer), {})
        return middle([(a["rate"] / b["rate"], a["clean"] and b["clean"])
                       for turn in ours for a in ours[turn] for b in theirs.get(turn, [])])


def table(head, rows):
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def show(figure, spec):
    """A cell; a dash for what was not measured."""
    return "-" if figure is None else format(figure, spec)


def check_bars(medians):
    """Of each bar that was measured: the bar, the least ratio and where it was."""
    for bar in BARS:
        found = []
        for measure in medians.measures:
            for threads in [bar.threads] if bar.threads else medians.threads:
                for name in bar.formats or medians.formats:
                    ratio = medians.ratio(measure, threads, name, bar.peer)
                    if measure.endswith(bar.measures) and ratio:
                        found.append((ratio, f"{name}, {measure}, {threads_of(threads)}"))
        if found:
            yield bar, *min(found, key=lambda item: item[0].value)


def threads_of(count):
    """A count of threads, in words."""
    return f"{count} thread" + ("" if count == 1 else "s")


def engine_table(medians, records):
    """Strake and llama.cpp."""
    kinds = {r["format"]: r["engine_format"] for r in records if r["engine"] == "llama.cpp"}
    rows = []
    for threads in medians.threads:
        for name in kinds:
            row = [name, kinds[name], str(threads)]
            for measure, spec in (("decode", ".1f"), ("prefill", ".0f")):
                for engine in ("Strake", "llama.cpp"):
                    row.append(show(medians.of("rate", measure, threads, name, engine), spec))
                row.append(show(medians.ratio(measure, threads, name, "llama.cpp"), ".2f"))
            for engine in ("Strake", "llama.cpp"):
                row.append(show(medians.of("read_share", "decode", threads, name, engine), ".2f"))
            rows.append(row)
    return table(["format", "llama.cpp's", "threads", "decode", "llama.cpp", "ratio", "prefill",
                  "llama.cpp", "ratio", "read share", "llama.cpp"], rows)


def mlx_table(medians):
    """Decode by Strake and MLX."""
    rows = []
    for threads in medians.threads:
        for name in medians.formats:
            if ratio := medians.ratio("decode", threads, name, "MLX"):
                ours, theirs = (medians.of("rate", "decode", threads, name, engine)
                                for engine in ("Strake", "MLX"))
                rows.append([name, str(threads), show(ours, ".1f"), show(theirs, ".3f"),
                             show(ratio, ".0f")])
    return table(["format", "threads", "Strake", "MLX", "ratio"], rows)


def product_tables(medians):
    """Products, a table for each shape and count of threads."""
    shapes = collections.defaultdict(list)
    for measure in medians.measures:
        if ", M=" in measure:
            shapes[measure.split(", ")[0]].append(measure)
    for shape, measures in shapes.items():
        for threads in medians.threads:
            rows = []
            for name in medians.formats:
                row = [name]
                for measure in measures:
                    for engine in ("Strake", "oneDNN"):
                        row.append(show(medians.of("rate", measure, threads, name, engine), ".0f"))
                    row.append(show(medians.ratio(measure, threads, name, "oneDNN"), ".2f"))
                row.append(show(medians.of("read_share", measures[0], threads, name, "Strake"),
                                ".2f"))
                row.append(show(medians.ratio(measures[0], threads, name, "MLX"), ".0f"))
                rows.append(row)
            head = [f"{shape}, {threads_of(threads)}"]
            for measure in measures:
                head += [measure.split(", ")[1], "oneDNN", "ratio"]
            first = measures[0].split(", ")[1]
            yield table([*head, f"read share, {first}", f"times MLX's, {first}"], rows)


def markdown(results):
    """The section of docs/results.md."""
    records = results["records"]
    medians = Medians(records)
    engines = {record["engine"] for record in records if record["measure"] == "decode"}
    versions = sorted({f"{r['engine']}: {r['version']}" for r in records})
    text = (f"    {results['command']}\n\n{results['date']}, {results['machine']}. "
            f"{'; '.join(versions)}.\n\n![Strake beside others](peers.svg)\n\n"
            f"Medians of {results['rounds']} interleaved rounds; a ratio is Strake's speed over "
            f"the other's, the median of each round's. An asterisk: in fewer than {FEWEST} rounds "
            "were they alone on the machine, and all rounds count. Read share: weights read, of "
            "what the same cores read from memory around the measurement.\n\n")
    bars = [[bar.words, f"{bar.least:g}", show(ratio, ".3g"), where,
             "noisy" if ratio.noisy else "reached" if ratio.value >= bar.least else "missed"]
            for bar, ratio, where in check_bars(medians)]
    text += table(["asked", "at least", "least found", "where", ""], bars)
    if "llama.cpp" in engines:
        text += ("The Llama 3.2 1B shape with random weights, tokens a second: prefill of "
                 f"{results['prompt']} tokens, then decode of {results['tokens']}. llama.cpp "
                 "rounds activations to 8 bits, Strake does not.\n\n"
                 + engine_table(medians, records))
    if "MLX" in engines:
        text += ("MLX on the processor, tokens a second of decode, after no prompt:\n\n"
                 + mlx_table(medians))
    for number, found in enumerate(product_tables(medians)):
        if number == 0:
            text += ("Products y = x W^T of M rows, W cold in memory: GFLOP/s beside oneDNN's "
                     "of a packed bfloat16 W.\n\n")
        text += found
    return text.rstrip("\n") + "\n"


def peer_in_plot(measure):
    """The peer beside Strake in the plot of a measure, None for a measure without one."""
    if measure in ("decode", "prefill"):
        return "llama.cpp"
    return "oneDNN" if measure.endswith(("M=1", "M=128", "M=512")) else None


def panels(results):
    """What the plot shows: title and groups of bars, (label, {series: value})."""
    medians = Medians(results["records"])
    for measure in medians.measures:
        unit = "GFLOP/s" if ", M=" in measure else "tokens a second"
        for threads in medians.threads if peer_in_plot(measure) else []:
            groups = []
            for name in medians.formats:
                rates = {engine: medians.of("rate", measure, threads, name, engine)
                         for engine in ("Strake", peer_in_plot(measure))}
                groups.append((name, {engine: rate.value
                                      for engine, rate in rates.items() if rate}))
            yield f"{measure}, {threads_of(threads)}: {unit}", groups
