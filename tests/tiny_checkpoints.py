"""Tiny random checkpoints of the transformer families, as a user's folder would hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["heart", "lung", "opacity", "effusion", "no", "acute", "process", "patient", "stable", "a"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FAMILIES = ("bert", "distilbert", "roberta", "modernbert")
SIZES = {"vocab_size": len(SPECIAL) + len(WORDS), "pad_token_id": 0}


def save_checkpoint(family: str, folder: Path, layers: int = 3) -> Path:
    """A model of hidden size 32 and a word tokenizer, saved to `folder`."""
    torch.manual_seed(1)
    common = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 48}
    model: transformers.PreTrainedModel
    if family == "bert":
        config = transformers.BertConfig(**SIZES, **common, max_position_embeddings=64)
        model = transformers.BertModel(config)
    elif family == "distilbert":
        config = transformers.DistilBertConfig(
            **SIZES, dim=32, n_layers=layers, n_heads=4, hidden_dim=48, max_position_embeddings=64
        )
        model = transformers.DistilBertModel(config)
    elif family == "roberta":
        config = transformers.RobertaConfig(**SIZES, **common, max_position_embeddings=65)
        model = transformers.RobertaModel(config)
    else:
        config = transformers.ModernBertConfig(
            **SIZES, **common, max_position_embeddings=64, local_attention=8, global_attn_every_n_layers=2
        )
        model = transformers.ModernBertModel(config)
    # Fresh biases and normalisations are 0 and 1: with other values, forgetting one shows.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """Whole words to ids, [CLS] before and [SEP] after."""
    vocabulary = {word: place for place, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
