"""What must matter in the models of models_configs.py: changes that the logits must show.

A change sets keys of the config, or every element of the tensors that a regular expression names.
"""

from models_configs import GPT_OSS, MINISTRAL3

NO_WINDOW = {"config": {"sliding_window": 4096}}
NO_NORMS = {"tensors": r"[qk]_norm\.weight", "value": 1.0}
NO_BIAS = {"tensors": r"_proj\.bias", "value": 0.0}
NO_SINKS = {"tensors": r"sinks", "value": -1e4}
NO_CORRECTION = {"tensors": r"e_score_correction_bias", "value": 0.0}
NO_SHARED = {"tensors": r"shared_experts\.down_proj", "value": 0.0}
NO_SCALING = {"config": {"rope_scaling": None}}
ONE_GROUP = {"config": {"n_group": 1, "topk_group": 1}}
DENSE_ATTENTION = {"config": {"index_topk": 4096}}


def default_rope(theta):
    return {"config": {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}}


CORRECTED = {"correction": NO_CORRECTION, "shared expert": NO_SHARED}
PLAIN_MINISTRAL = {**MINISTRAL3["rope_parameters"], "type": "default", "rope_type": "default"}
UNSCALED_MINISTRAL = {**MINISTRAL3["rope_parameters"], "llama_4_scaling_beta": 0}

# folder: name of an effect: the change that shows it
EFFECTS = {
    "mistral": {"window": NO_WINDOW},
    "qwen2": {"biases": NO_BIAS},
    "qwen3": {"norms": NO_NORMS, "yarn": default_rope(50000.0)},
    "gemma3_text": {
        "window": NO_WINDOW,
        "norms": {"tensors": r"[qk]_norm\.weight", "value": 0.0},
        "local theta": {"config": {"rope_local_base_freq": 100000.0}},
        "linear": NO_SCALING,
        "scale": {"config": {"query_pre_attn_scalar": 32}},
    },
    "smollm3": {
        "layer without rope": {"config": {"no_rope_layers": [1, 1, 1, 1]}},
        "llama3": NO_SCALING,
    },
    "ministral3": {
        "yarn": {"config": {"rope_parameters": PLAIN_MINISTRAL}},
        "query scale": {"config": {"rope_parameters": UNSCALED_MINISTRAL}},
    },
    "qwen3_moe": {"norms": NO_NORMS, "normalised weights": {"config": {"norm_topk_prob": False}}},
    "mixtral": {"second expert": {"config": {"num_experts_per_tok": 1}}},
    "gpt_oss": {
        "window": NO_WINDOW,
        "sinks": NO_SINKS,
        "attention biases": NO_BIAS,
        "expert biases": {"tensors": r"experts\..*_bias", "value": 0.0},
        "router bias": {"tensors": r"router\.bias", "value": 0.0},
        "clamp": {"config": {"swiglu_limit": 100.0}},
    },
    "gpt_oss-mxfp4": {
        "window": NO_WINDOW,
        "sinks": NO_SINKS,
        "no truncation": {"config": {"rope_scaling": GPT_OSS["rope_scaling"]}},
    },
    "glm4_moe": {
        **CORRECTED,
        "biases": NO_BIAS,
        "norms": NO_NORMS,
        "partial rotary": {"config": {"partial_rotary_factor": 1.0}},
    },
    "minimax_m2": {
        "norms": NO_NORMS,
        "correction": NO_CORRECTION,
        "partial rotary": {"config": {"rotary_dim": 32}},
    },
    "deepseek_v2": {"shared expert": NO_SHARED, "groups": ONE_GROUP, "yarn": NO_SCALING},
    "deepseek_v3": {**CORRECTED, "groups": ONE_GROUP, "yarn": NO_SCALING},
    "kimi_k2": {**CORRECTED, "yarn": NO_SCALING},
    "glm4_moe_lite": {**CORRECTED, "biases": NO_BIAS},
    "deepseek_v32": {
        **CORRECTED,
        "groups": ONE_GROUP,
        "yarn": NO_SCALING,
        "sparse attention": DENSE_ATTENTION,
    },
    "glm_moe_dsa": {**CORRECTED, "sparse attention": DENSE_ATTENTION},
    "glm_moe_dsa-shared": {**CORRECTED, "sparse attention": DENSE_ATTENTION},
}
