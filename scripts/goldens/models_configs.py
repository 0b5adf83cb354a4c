"""The tiny configs of models.py, each as the hub serves it, by folder.

Sizes: inputs that groups of 64 divide, and a few that only 32 divides; heads, experts and widths
that rank counts do not divide; prompts of 120 tokens lie beyond every window and top-k.

Values for which transformers and mlx-lm are known to agree: correction biases are positive (masked
groups count 0 in mlx-lm, -inf in transformers and DeepSeek's own code), gemma3's hidden size has an
exact root (mlx-lm rounds it to bfloat16), gpt_oss has no `truncate` (mlx-lm ignores it;
gpt_oss-mxfp4 has it as the hub's gpt-oss, with the meaning of OpenAI's code).
"""

COMMON = {
    "hidden_size": 64,
    "vocab_size": 256,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "torch_dtype": "bfloat16",
}

USUAL = {
    "hidden_act": "silu",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}

YARN = {"factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1}

MISTRAL = {
    **USUAL,
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "head_dim": 32,
    "num_attention_heads": 6,
    "intermediate_size": 192,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 16,
}

MINISTRAL3 = {
    **USUAL,
    "architectures": ["Ministral3ForCausalLM"],
    "model_type": "ministral3",
    "head_dim": 32,
    "num_hidden_layers": 3,
    "intermediate_size": 128,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {
        **YARN,
        "type": "yarn",
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.4,
        "original_max_position_embeddings": 32,
    },
    "sliding_window": None,
}

QWEN2 = {
    **USUAL,
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 272,
    "num_hidden_layers": 3,
    "intermediate_size": 192,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "max_window_layers": 3,
    "sliding_window": 16,
    "use_sliding_window": False,
    "tie_word_embeddings": True,
}

QWEN3 = {
    **USUAL,
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 300,
    "attention_bias": False,
    "head_dim": 32,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "intermediate_size": 128,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {**YARN, "rope_type": "yarn", "rope_theta": 50000.0},
    "sliding_window": None,
    "use_sliding_window": False,
}

SMOLLM3 = {
    **USUAL,
    "architectures": ["SmolLM3ForCausalLM"],
    "model_type": "smollm3",
    "attention_bias": False,
    "mlp_bias": False,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "no_rope_layer_interval": 4,
    "no_rope_layers": [1, 0, 1, 1],
    "rms_norm_eps": 1e-06,
    "rope_theta": 20000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "sliding_window": None,
    "use_sliding_window": False,
    "pad_token_id": 2,
    "tie_word_embeddings": True,
}

GEMMA3_TEXT = {
    "architectures": ["Gemma3ForCausalLM"],
    "model_type": "gemma3_text",
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "head_dim": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "intermediate_size": 128,
    "query_pre_attn_scalar": 24,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 1000.0,
    "rope_theta": 100000.0,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    "sliding_window": 16,
    "sliding_window_pattern": 3,
    "pad_token_id": 0,
}

QWEN3_MOE = {
    **USUAL,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "head_dim": 32,
    "intermediate_size": 96,
    "mlp_only_layers": [0],
    "moe_intermediate_size": 96,
    "norm_topk_prob": True,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": None,
    "use_sliding_window": False,
}

MIXTRAL = {
    **USUAL,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "intermediate_size": 96,
    "num_experts_per_tok": 2,
    "num_local_experts": 4,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
    "sliding_window": None,
}

GPT_OSS = {
    **USUAL,
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "attention_bias": True,
    "head_dim": 32,
    "intermediate_size": 64,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_experts_per_tok": 2,
    "experts_per_token": 2,
    "num_local_experts": 4,
    "rms_norm_eps": 1e-05,
    "rope_theta": 150000.0,
    "rope_scaling": {**YARN, "rope_type": "yarn", "beta_fast": 4.0, "beta_slow": 1.0},
    "sliding_window": 16,
    "swiglu_limit": 7.0,
}

GPT_OSS_MXFP4 = {
    **GPT_OSS,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "intermediate_size": 96,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    **{"num_experts_per_tok": 3, "experts_per_token": 3, "num_local_experts": 5},
    "rope_scaling": {**GPT_OSS["rope_scaling"], "truncate": False},
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router"]
        + ["model.embed_tokens", "lm_head"],
    },
}

GLM4_MOE = {
    **USUAL,
    "architectures": ["Glm4MoeForCausalLM"],
    "model_type": "glm4_moe",
    "attention_bias": True,
    "head_dim": 32,
    "first_k_dense_replace": 1,
    "intermediate_size": 96,
    "moe_intermediate_size": 96,
    "n_group": 1,
    "topk_group": 1,
    "n_routed_experts": 5,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_experts_per_tok": 2,
    "num_nextn_predict_layers": 0,
    "partial_rotary_factor": 0.5,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "routed_scaling_factor": 1.5,
    "use_qk_norm": True,
}

MINIMAX_M2 = {
    **USUAL,
    "architectures": ["MiniMaxM2ForCausalLM"],
    "model_type": "minimax_m2",
    "head_dim": 32,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "num_experts_per_tok": 2,
    "num_local_experts": 5,
    "qk_norm_type": "per_layer",
    "use_qk_norm": True,
    "rms_norm_eps": 1e-06,
    "rope_theta": 50000.0,
    "rotary_dim": 16,
    "scoring_func": "sigmoid",
    "shared_intermediate_size": 0,
    "use_routing_bias": True,
}

LATENT = {
    **USUAL,
    "attention_bias": False,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "kv_lora_rank": 64,
    "q_lora_rank": 64,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "intermediate_size": 64,
    "moe_intermediate_size": 64,
    "n_routed_experts": 6,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "norm_topk_prob": True,
    "num_nextn_predict_layers": 0,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "n_group": 2,
    "topk_group": 1,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
}

DEEPSEEK_V2 = {
    **LATENT,
    "architectures": ["DeepseekV2ForCausalLM"],
    "model_type": "deepseek_v2",
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "intermediate_size": 96,
    "n_group": 3,
    "topk_group": 2,
    "num_experts_per_tok": 3,
    "norm_topk_prob": False,
    "routed_scaling_factor": 2.0,
    "scoring_func": "softmax",
    "topk_method": "group_limited_greedy",
    "rope_scaling": {**YARN, "type": "yarn", "mscale": 1.4, "mscale_all_dim": 0.7},
}

DEEPSEEK_V3 = {
    **LATENT,
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "rope_scaling": {**YARN, "type": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0},
}

KIMI_K2 = {
    **LATENT,
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "kimi_k2",
    "q_lora_rank": None,
    "moe_intermediate_size": 96,
    "n_group": 1,
    "topk_group": 1,
    "n_routed_experts": 5,
    "num_experts_per_tok": 3,
    "routed_scaling_factor": 2.827,
    "rope_scaling": {
        **{**YARN, "factor": 8.0, "original_max_position_embeddings": 32},
        **{"type": "yarn", "mscale": 1.0, "mscale_all_dim": 0.5},
    },
}

GLM4_MOE_LITE = {
    **LATENT,
    "architectures": ["Glm4MoeLiteForCausalLM"],
    "model_type": "glm4_moe_lite",
    "attention_bias": True,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "n_group": 1,
    "n_routed_experts": 4,
    "partial_rotary_factor": 1.0,
    "rope_scaling": None,
    "rope_theta": 50000.0,
    "routed_scaling_factor": 1.8,
}

DEEPSEEK_V32 = {
    **LATENT,
    "architectures": ["DeepseekV32ForCausalLM"],
    "model_type": "deepseek_v32",
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 24,
    "index_head_dim": 16,
    "index_n_heads": 8,
    "index_topk": 24,
    "rope_scaling": {**YARN, "type": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0},
}

GLM_MOE_DSA = {
    **USUAL,
    **{key: value for key, value in LATENT.items() if key != "rope_theta"},
    "architectures": ["GlmMoeDsaForCausalLM"],
    "model_type": "glm_moe_dsa",
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 32,
    "index_head_dim": 16,
    "index_n_heads": 8,
    "index_topk": 24,
    "indexer_rope_interleave": True,
    "n_group": 1,
    "n_routed_experts": 4,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}

# Every second layer attends to the keys that the one before it selected.
GLM_MOE_DSA_SHARED = {
    **GLM_MOE_DSA,
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "indexer_types": ["full", "shared", "full", "shared"],
}

CONFIGS = {
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma3_text": GEMMA3_TEXT,
    "smollm3": SMOLLM3,
    "ministral3": MINISTRAL3,
    "qwen3_moe": QWEN3_MOE,
    "mixtral": MIXTRAL,
    "gpt_oss": GPT_OSS,
    "gpt_oss-mxfp4": GPT_OSS_MXFP4,
    "glm4_moe": GLM4_MOE,
    "minimax_m2": MINIMAX_M2,
    "deepseek_v2": DEEPSEEK_V2,
    "deepseek_v3": DEEPSEEK_V3,
    "kimi_k2": KIMI_K2,
    "glm4_moe_lite": GLM4_MOE_LITE,
    "deepseek_v32": DEEPSEEK_V32,
    "glm_moe_dsa": GLM_MOE_DSA,
    "glm_moe_dsa-shared": GLM_MOE_DSA_SHARED,
}

# folder: (made from, mode, bits, group size), as `mlx_lm.convert -q` is asked.
MLX_FORMS = {
    "qwen3_moe-mlx": ("qwen3_moe", "mxfp4", 4, 32),
    "gpt_oss-mlx": ("gpt_oss-mxfp4", "mxfp8", 8, 32),
    "glm_moe_dsa-mlx": ("glm_moe_dsa", "affine", 4, 32),
}


def config_of(folder):
    return {**COMMON, **CONFIGS[folder]}
