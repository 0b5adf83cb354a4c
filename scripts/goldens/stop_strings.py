#!/usr/bin/env python3
"""Texts that mlx-lm's text state machine cuts at stop strings.

Made with mlx-lm 0.32.2, Python 3.11:

    pip install mlx==0.32.4 mlx-cpu==0.32.4 mlx-lm==0.32.2
    scripts/goldens/stop_strings.py tests/data/engine/stop_strings.jsonl

A line has the stop strings, the pieces that a text comes in, what is left of it, and how many pieces
were taken until the text ended; null where no stop string came.
"""

import json
import random
import sys

from mlx_lm.generate import TextStateMachine

def cut(stop, pieces):
    state = TextStateMachine({"normal": [(string, None) for string in stop]}).make_state()
    text = ""
    for count, piece in enumerate(pieces, 1):
        state, emitted, name = TextStateMachine.step(state, piece)
        text += emitted
        if name is None:
            return text, count
    return text + TextStateMachine.flush(state)[1], None


def main(path):
    rng = random.Random(4)
    with open(path, "w") as file:
        for index in range(120):
            # Few characters, of one to four bytes, so that strings often begin, overlap and fail.
            alphabet = rng.sample("ab\né€😀", 2 + index % 2)
            draw = lambda least, most: "".join(rng.choices(alphabet, k=rng.randint(least, most)))
            stop = [draw(1, 6) for _ in range(index % 5)]
            pieces = [draw(0, 4) for _ in range(rng.randint(0, 9))]
            text, taken = cut(stop, pieces)
            case = {"stop": stop, "pieces": pieces, "text": text, "taken": taken}
            print(json.dumps(case, separators=(",", ":"), ensure_ascii=False), file=file)


if __name__ == "__main__":
    main(sys.argv[1])
