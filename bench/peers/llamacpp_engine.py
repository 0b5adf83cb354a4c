"""One sample of llama.cpp: prefill, then decode after it, as a line of JSON.

    llamacpp_engine.py FILE.gguf THREADS PROMPT TOKENS
"""

import ctypes
import json
import os
import random
import sys
import time

import llama_cpp as llama


ERROR = 4  # of ggml's levels


@llama.llama_log_callback
def print_errors(level, text, _):
    """Keeps llama.cpp's other messages to itself."""
    if level == ERROR:
        sys.stderr.write(text.decode())


def decode(context, ids):
    """Runs the ids, and waits for the last one's logits."""
    tokens = (llama.llama_token * len(ids))(*ids)
    if llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(ids))) != 0:
        raise RuntimeError("llama_decode failed")
    llama.llama_synchronize(context)


def main(path, threads, prompt, tokens):
    """Loads the model and measures."""
    llama.llama_log_set(print_errors, ctypes.c_void_p(0))
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp cannot load {path}")
    settings = llama.llama_context_default_params()
    settings.n_ctx = prompt + tokens
    settings.n_batch = settings.n_ubatch = prompt
    settings.n_threads = settings.n_threads_batch = threads
    context = llama.llama_init_from_model(model, settings)
    if not context:
        raise RuntimeError("llama.cpp cannot make a context")
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    choose = random.Random(1)
    ids = [choose.randrange(vocabulary) for _ in range(prompt + tokens)]

    decode(context, ids[:16])  # touches weights and buffers
    decode(context, ids[:1])
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    start = time.perf_counter()
    decode(context, ids[:prompt])
    middle = time.perf_counter()
    for token in ids[prompt:]:
        decode(context, [token])
    end = time.perf_counter()
    print(json.dumps({
        "version": f"llama-cpp-python {llama.__version__}",
        "prefill": prompt / (middle - start),
        "decode": tokens / (end - middle),
        "weight_bytes": os.path.getsize(path),
    }))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
