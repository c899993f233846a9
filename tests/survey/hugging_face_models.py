"""Architectures of Hugging Face transformers, built small from their configurations."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from measure import Build, RunnableModel
from torch_runs import runnable

PACKAGES = ("transformers", "torch")

_BERT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
_LLAMA = {**_BERT, "num_key_value_heads": 2}
_GPT2 = {"vocab_size": 60, "n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 4}
_T5 = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
_BART = {
    "vocab_size": 60,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 128,
}
_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}


def _model(kind: str, config: str, **options: Any) -> Build:
    def build(seed: int = 0) -> RunnableModel:
        torch.manual_seed(seed)
        module = getattr(transformers, kind)(getattr(transformers, config)(**options))
        return runnable(module, getattr(module.config, "pad_token_id", None) or 0, seed)

    return build


MODELS: dict[str, Build] = {
    "ALBERT": _model("AlbertModel", "AlbertConfig", **_BERT, embedding_size=16),
    "BART": _model("BartModel", "BartConfig", **_BART),
    "BERT": _model("BertModel", "BertConfig", **_BERT),
    "BERT, eager attention": _model("BertModel", "BertConfig", **_BERT, attn_implementation="eager"),
    "BERT, sequence classification": _model("BertForSequenceClassification", "BertConfig", **_BERT),
    "BERT, token classification": _model("BertForTokenClassification", "BertConfig", **_BERT),
    "BigBird": _model("BigBirdModel", "BigBirdConfig", **_BERT, attention_type="original_full"),
    "BLOOM": _model("BloomForCausalLM", "BloomConfig", vocab_size=60, hidden_size=32, n_layer=2, n_head=4),
    "ConvBERT": _model("ConvBertModel", "ConvBertConfig", **_BERT, embedding_size=32),
    "CTRL": _model(
        "CTRLModel", "CTRLConfig", vocab_size=60, n_positions=128, n_embd=32, dff=48, n_layer=2, n_head=4
    ),
    "DeBERTa": _model("DebertaModel", "DebertaConfig", **_BERT),
    "DeBERTa-v2": _model(
        "DebertaV2Model",
        "DebertaV2Config",
        **_BERT,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=16,
    ),
    "DistilBERT": _model(
        "DistilBertModel",
        "DistilBertConfig",
        vocab_size=60,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=128,
    ),
    "ELECTRA": _model("ElectraModel", "ElectraConfig", **_BERT, embedding_size=16),
    "ESM": _model("EsmModel", "EsmConfig", **_BERT, pad_token_id=1, mask_token_id=4),
    "Falcon": _model(
        "FalconForCausalLM",
        "FalconConfig",
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    ),
    "FNet": _model(
        "FNetModel",
        "FNetConfig",
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        max_position_embeddings=128,
    ),
    "Funnel": _model(
        "FunnelModel",
        "FunnelConfig",
        vocab_size=60,
        d_model=32,
        block_sizes=[1, 1],
        n_head=4,
        d_head=8,
        d_inner=48,
    ),
    "Gemma": _model("GemmaForCausalLM", "GemmaConfig", **_LLAMA, head_dim=8),
    "Gemma 2": _model("Gemma2ForCausalLM", "Gemma2Config", **_LLAMA, head_dim=8),
    "GPT-2": _model("GPT2LMHeadModel", "GPT2Config", **_GPT2),
    "GPT-2, sequence classification": _model(
        "GPT2ForSequenceClassification", "GPT2Config", **_GPT2, pad_token_id=0
    ),
    "GPT-J": _model("GPTJForCausalLM", "GPTJConfig", **_GPT2, rotary_dim=4),
    "GPT-Neo": _model(
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        vocab_size=60,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        max_position_embeddings=128,
        attention_types=[[["global", "local"], 1]],
    ),
    "GPT-NeoX": _model("GPTNeoXForCausalLM", "GPTNeoXConfig", **_BERT),
    "I-BERT": _model("IBertModel", "IBertConfig", **_BERT),
    "LED": _model(
        "LEDModel",
        "LEDConfig",
        vocab_size=60,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_encoder_position_embeddings=128,
        max_decoder_position_embeddings=128,
        attention_window=8,
    ),
    "Llama": _model("LlamaForCausalLM", "LlamaConfig", **_LLAMA),
    "Longformer": _model("LongformerModel", "LongformerConfig", **_BERT, attention_window=8),
    "M2M100": _model("M2M100Model", "M2M100Config", **_BART),
    "Mamba": _model(
        "MambaModel", "MambaConfig", vocab_size=60, hidden_size=32, num_hidden_layers=2, state_size=4
    ),
    "Mamba 2": _model(
        "Mamba2Model",
        "Mamba2Config",
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=4,
        num_heads=8,
        head_dim=8,
        n_groups=2,
        chunk_size=32,
    ),
    "Marian": _model("MarianModel", "MarianConfig", **_BART, pad_token_id=0, decoder_start_token_id=0),
    "mBART": _model("MBartModel", "MBartConfig", **_BART),
    "Mistral": _model("MistralForCausalLM", "MistralConfig", **_LLAMA),
    "Mixtral": _model("MixtralForCausalLM", "MixtralConfig", **_LLAMA, num_local_experts=4),
    "MobileBERT": _model(
        "MobileBertModel",
        "MobileBertConfig",
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=128,
        embedding_size=32,
        intra_bottleneck_size=32,
    ),
    "ModernBERT": _model("ModernBertModel", "ModernBertConfig", **_BERT, **_TOKENS),
    "MPNet": _model("MPNetModel", "MPNetConfig", **_BERT),
    "OLMo 2": _model("Olmo2ForCausalLM", "Olmo2Config", **_LLAMA),
    "OPT": _model(
        "OPTForCausalLM",
        "OPTConfig",
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
    ),
    "Pegasus": _model("PegasusModel", "PegasusConfig", **_BART),
    "Phi": _model("PhiForCausalLM", "PhiConfig", **_BERT),
    "Phi-3": _model("Phi3ForCausalLM", "Phi3Config", **_LLAMA, pad_token_id=0),
    "Qwen2": _model("Qwen2ForCausalLM", "Qwen2Config", **_LLAMA),
    "Qwen3": _model("Qwen3ForCausalLM", "Qwen3Config", **_LLAMA, head_dim=8),
    "RemBERT": _model(
        "RemBertModel", "RemBertConfig", **_BERT, input_embedding_size=16, output_embedding_size=16
    ),
    "RoBERTa": _model("RobertaModel", "RobertaConfig", **_BERT),
    "RoFormer": _model("RoFormerModel", "RoFormerConfig", **_BERT),
    "SqueezeBERT": _model("SqueezeBertModel", "SqueezeBertConfig", **_BERT, embedding_size=32),
    "StarCoder2": _model("Starcoder2ForCausalLM", "Starcoder2Config", **_LLAMA),
    "T5": _model("T5ForConditionalGeneration", "T5Config", **_T5),
    "T5, encoder": _model("T5EncoderModel", "T5Config", **_T5),
    "UMT5": _model("UMT5ForConditionalGeneration", "UMT5Config", **_T5),
    "XLM": _model(
        "XLMModel", "XLMConfig", vocab_size=60, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=128
    ),
    "XLM-RoBERTa": _model("XLMRobertaModel", "XLMRobertaConfig", **_BERT),
    "XLNet": _model("XLNetModel", "XLNetConfig", vocab_size=60, d_model=32, n_layer=2, n_head=4, d_inner=48),
}
