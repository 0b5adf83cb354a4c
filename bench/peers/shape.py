"""The shape that engines are compared in: Llama 3.2 1B, as strake bench --shape llama-1b has it."""

LLAMA_1B = {
    "layers": 16, "hidden": 2048, "mlp": 8192, "heads": 32, "kv_heads": 8, "head_dim": 64,
    "vocabulary": 128256, "rope_base": 500000.0, "epsilon": 1e-5,
}
