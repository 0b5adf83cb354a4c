"""Random weights for models.py, with the names and layouts of the hub's checkpoints.

Gains are such that attention scores have a deviation of about 2, that every block changes the
residual stream by about its own size, and that logits are spread by several units.
"""

import torch


class Weights:
    """Named bfloat16 tensors from one random stream."""

    def __init__(self, seed):
        self.tensors = {}
        self.random = torch.Generator().manual_seed(seed)

    def normal(self, shape, mean, deviation):
        values = torch.randn(shape, generator=self.random) * deviation + mean
        return values.to(torch.bfloat16)

    def put(self, name, shape, mean, deviation):
        self.tensors[name] = self.normal(shape, mean, deviation)

    def linear(self, name, rows, columns, gain):
        self.put(name + ".weight", (rows, columns), 0, gain * columns**-0.5)

    def norm(self, name, size, mean=1.0):
        self.put(name + ".weight", (size,), mean, 0.25)


def attention(weights, path, config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads = config["num_key_value_heads"]
    kind = config["model_type"]
    head = config.get("head_dim", hidden // heads)
    for name, rows, gain in [("q", heads, 1.5), ("k", kv_heads, 1.5), ("v", kv_heads, 1.5)]:
        weights.linear(f"{path}.{name}_proj", rows * head, hidden, gain)
    weights.linear(f"{path}.o_proj", hidden, heads * head, 2.0)
    if kind == "qwen2" or config.get("attention_bias"):
        for name, rows in [("q", heads), ("k", kv_heads), ("v", kv_heads)]:
            weights.put(f"{path}.{name}_proj.bias", (rows * head,), 0, 0.7)
    if kind == "gpt_oss":
        weights.put(f"{path}.o_proj.bias", (hidden,), 0, 0.5)
        weights.put(f"{path}.sinks", (heads,), 2, 1.0)
    if kind == "minimax_m2":
        weights.norm(f"{path}.q_norm", heads * head, 1.4)
        weights.norm(f"{path}.k_norm", kv_heads * head, 1.4)
    elif kind in ("qwen3", "qwen3_moe", "gemma3_text", "glm4_moe"):
        for name in ("q_norm", "k_norm"):
            weights.norm(f"{path}.{name}", head, 0.3 if kind == "gemma3_text" else 1.4)


def latent_attention(weights, path, config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    rank, query_rank = config["kv_lora_rank"], config["q_lora_rank"]
    rope, nope, value = (config[k] for k in ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"))
    if query_rank is None:
        weights.linear(f"{path}.q_proj", heads * (nope + rope), hidden, 1.5)
    else:
        weights.linear(f"{path}.q_a_proj", query_rank, hidden, 1.0)
        weights.norm(f"{path}.q_a_layernorm", query_rank)
        weights.linear(f"{path}.q_b_proj", heads * (nope + rope), query_rank, 1.5)
    weights.linear(f"{path}.kv_a_proj_with_mqa", rank + rope, hidden, 1.5)
    weights.norm(f"{path}.kv_a_layernorm", rank)
    weights.linear(f"{path}.kv_b_proj", heads * (nope + value), rank, 1.5)
    weights.linear(f"{path}.o_proj", hidden, heads * value, 2.0)
    if config["attention_bias"]:
        weights.put(f"{path}.q_a_proj.bias", (query_rank,), 0, 0.7)
        weights.put(f"{path}.kv_a_proj_with_mqa.bias", (rank + rope,), 0, 0.7)
        weights.put(f"{path}.o_proj.bias", (hidden,), 0, 0.5)


def indexer(weights, path, config):
    hidden, query_rank = config["hidden_size"], config["q_lora_rank"]
    heads, head = config["index_n_heads"], config["index_head_dim"]
    weights.linear(f"{path}.wq_b", heads * head, query_rank, 1.5)
    weights.linear(f"{path}.wk", head, hidden, 1.5)
    weights.norm(f"{path}.k_norm", head)
    weights.put(f"{path}.k_norm.bias", (head,), 0, 0.5)
    weights.linear(f"{path}.weights_proj", heads, hidden, 1.5)


def gated(weights, path, hidden, width, names=("gate_proj", "up_proj", "down_proj")):
    gate, up, down = names
    weights.linear(f"{path}.{gate}", width, hidden, 1.5)
    weights.linear(f"{path}.{up}", width, hidden, 1.2)
    weights.linear(f"{path}.{down}", hidden, width, 1.5)


def fused_experts(weights, path, config):
    """gpt-oss: inputs before outputs, gate and up rows alternating."""
    count, hidden, width = (
        config[k] for k in ("num_local_experts", "hidden_size", "intermediate_size")
    )
    weights.linear(f"{path}.router", count, hidden, 1.5)
    weights.put(f"{path}.router.bias", (count,), 0, 0.5)
    # Wide enough that the clamp at 7 is reached.
    weights.put(f"{path}.experts.gate_up_proj", (count, hidden, 2 * width), 0, 3 * hidden**-0.5)
    weights.put(f"{path}.experts.gate_up_proj_bias", (count, 2 * width), 0, 0.5)
    weights.put(f"{path}.experts.down_proj", (count, width, hidden), 0, 0.4 * width**-0.5)
    weights.put(f"{path}.experts.down_proj_bias", (count, hidden), 0, 0.3)


def correction(weights, name, count):
    """Positive, see models_configs.py; float32 in the hub's files."""
    values = torch.rand(count, generator=weights.random) * 0.6 + 0.05
    weights.tensors[name] = values.to(torch.bfloat16).to(torch.float32)


def experts(weights, layer, config):
    kind, hidden = config["model_type"], config["hidden_size"]
    if kind == "gpt_oss":
        fused_experts(weights, f"{layer}.mlp", config)
        return
    blocks = kind in ("mixtral", "minimax_m2")
    path = layer + (".block_sparse_moe" if blocks else ".mlp")
    names = ("w1", "w3", "w2") if blocks else ("gate_proj", "up_proj", "down_proj")
    count = next(
        config[k]
        for k in ("num_local_experts", "num_experts", "n_routed_experts")
        if config.get(k) is not None
    )
    width = config.get("moe_intermediate_size", config["intermediate_size"])
    weights.linear(f"{path}.gate", count, hidden, 1.5)
    for expert in range(count):
        gated(weights, f"{path}.experts.{expert}", hidden, width, names)
    if kind == "minimax_m2":
        correction(weights, f"{path}.e_score_correction_bias", count)
    elif config.get("topk_method", "noaux_tc") == "noaux_tc" and "n_group" in config:
        correction(weights, f"{path}.gate.e_score_correction_bias", count)
    if config.get("n_shared_experts"):
        gated(weights, f"{path}.shared_experts", hidden, width * config["n_shared_experts"])


def is_sparse(config, layer):
    kind = config["model_type"]
    if kind in ("mixtral", "minimax_m2", "gpt_oss"):
        return True
    if kind == "qwen3_moe":
        return layer not in config["mlp_only_layers"]
    return "n_routed_experts" in config and layer >= config["first_k_dense_replace"]


def has_indexer(config, layer):
    if "index_topk" not in config:
        return False
    return "indexer_types" not in config or config["indexer_types"][layer] == "full"


def make_weights(config, seed):
    """A checkpoint's tensors by name."""
    weights = Weights(seed)
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    gemma = config["model_type"] == "gemma3_text"
    tied = gemma or config["tie_word_embeddings"]
    weights.put(
        "model.embed_tokens.weight",
        (vocabulary, hidden),
        0,
        0.25 if gemma else 0.45 if tied else 1.0,
    )
    mean = 0.0 if gemma else 1.0  # gemma adds one to its norms' weights
    norms = ["input_layernorm", "post_attention_layernorm"]
    if gemma:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        for name in norms:
            weights.norm(f"{layer}.{name}", hidden, mean)
        latent = "kv_lora_rank" in config
        (latent_attention if latent else attention)(weights, f"{layer}.self_attn", config)
        if has_indexer(config, index):
            indexer(weights, f"{layer}.self_attn.indexer", config)
        if is_sparse(config, index):
            experts(weights, layer, config)
        else:
            gated(weights, f"{layer}.mlp", hidden, config["intermediate_size"])
    weights.norm("model.norm", hidden, mean)
    if tied:
        # Signs, so that a token's own embedding does not make it its likeliest successor.
        signs = torch.randint(0, 2, (hidden,), generator=weights.random) * 2 - 1
        offset = 1 - mean
        norm = weights.tensors["model.norm.weight"].float()
        weights.tensors["model.norm.weight"] = ((norm + offset) * signs - offset).to(torch.bfloat16)
    else:
        weights.linear("lm_head", vocabulary, hidden, 3.5)
    return weights.tensors
