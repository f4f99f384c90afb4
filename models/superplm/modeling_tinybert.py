"""TinyBert: a BERT whose query/key/value width is free of its hidden size.

This file stands alone: it needs torch and transformers and nothing else, since a copy of it
travels with every exported model, so that plain transformers loads it with
`trust_remote_code=True`. Parameter names are those of `transformers.BertModel`.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
)
from transformers.utils import logging


class TinyBertConfig(PretrainedConfig):  # type: ignore[misc, unused-ignore]
    """Sizes of a TinyBert, under BERT's names plus `qkv_size`.

    Args:
        vocab_size: Rows of the word table.
        hidden_size: Width of the embeddings and of the residual stream.
        num_hidden_layers: Number of Transformer layers, all alike.
        num_attention_heads: Attention heads of each layer; divides `qkv_size`.
        qkv_size: Total width of each of query, key and value; the hidden size if not given.
        intermediate_size: Inner width of the feed-forward block.
        projection_size: Width of the linear map from the hidden size to a teacher's space that
            turns mean-pooled states into sentence embeddings; None for no such map.
        max_position_embeddings: Longest sequence in tokens.
        type_vocab_size: Number of token types (segments).
        hidden_dropout_prob: Dropout of hidden states while training.
        attention_probs_dropout_prob: Dropout of attention weights while training.
        layer_norm_eps: Added to the variance in LayerNorm.
        initializer_range: Standard deviation of fresh weights.
        pad_token_id: Number of the padding token.
        **kwargs: What `PretrainedConfig` takes.
    """

    model_type = "atb-tinybert"

    def __init__(  # noqa: PLR0917 -- transformers' own convention
        self,
        vocab_size: int = 30_522,
        hidden_size: int = 312,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 12,
        qkv_size: int | None = None,
        intermediate_size: int = 1200,
        projection_size: int | None = None,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.qkv_size = hidden_size if qkv_size is None else qkv_size
        self.intermediate_size = intermediate_size
        self.projection_size = projection_size
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        if self.qkv_size % num_attention_heads:
            raise ValueError(
                f"{num_attention_heads} heads do not divide the query width {self.qkv_size}."
            )
        super().__init__(**kwargs)
        self.pad_token_id = pad_token_id


# Queries, keys and values.
_States = tuple[Tensor, Tensor, Tensor]


@dataclass
class TinyBertOutput(BaseModelOutputWithPooling):  # type: ignore[misc, unused-ignore]
    """What the encoder returns: last hidden state, pooled first token, hidden states if asked for.

    Attributes:
        attention_states: Queries, keys and values of the last layer, each [batch, length, qkv],
            if asked for.
    """

    attention_states: tuple[Tensor, Tensor, Tensor] | None = None


class TinyBertEmbeddings(nn.Module):
    """Word + position + token type, normalised."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        # no padding_idx: it would stop the gradient of that row, which a slice could not mirror
        self.word_embeddings = nn.Embedding(config.vocab_size, hidden)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, hidden)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Numbers [batch, length], or rows of the word table -> states [batch, length, hidden]."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds, and not both.")
        words = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        length, most = words.shape[1], self.position_embeddings.num_embeddings
        if position_ids is not None:
            positions = self.position_embeddings(position_ids)  # [B, T, H]
        elif length > most:
            raise ValueError(f"A sequence of {length} tokens is longer than the {most} positions.")
        else:
            positions = self.position_embeddings.weight[:length]  # [T, H]
        if token_type_ids is None:
            types = self.token_type_embeddings.weight[0]
        else:
            types = self.token_type_embeddings(token_type_ids)
        embedded: Tensor = self.dropout(self.LayerNorm(words + positions + types))
        return embedded


class TinyBertSelfAttention(nn.Module):
    """Query, key, value and the attention itself."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.head_size = config.qkv_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.qkv_size)
        self.key = nn.Linear(config.hidden_size, config.qkv_size)
        self.value = nn.Linear(config.hidden_size, config.qkv_size)
        self.dropout_probability = config.attention_probs_dropout_prob

    def forward(
        self, hidden: Tensor, mask: Tensor | None, with_weights: bool = False
    ) -> tuple[Tensor, _States, Tensor | None]:
        """States [batch, length, hidden] -> [batch, length, qkv], and what led to them.

        That is queries, keys and values, and the attention [batch, heads, length, length] if it is
        asked for.
        """
        batch, length, _ = hidden.shape

        def split(states: Tensor) -> Tensor:
            return states.view(batch, length, self.heads, self.head_size).transpose(1, 2)

        states = self.query(hidden), self.key(hidden), self.value(hidden)
        query, key, value = (split(one) for one in states)  # [B, A, T, D]
        # clamped, since the lowest float32 is minus infinity in half precision
        added = None if mask is None else mask.clamp(torch.finfo(query.dtype).min).to(query)
        dropped = self.dropout_probability if self.training else 0.0
        if with_weights:
            scores = query @ key.transpose(-1, -2) / self.head_size**0.5
            weights = (scores if added is None else scores + added).softmax(-1)
            weights = functional.dropout(weights, dropped)
            context = weights @ value
            return context.transpose(1, 2).reshape(batch, length, -1), states, weights
        context = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=added,
            dropout_p=dropped,
        )
        return context.transpose(1, 2).reshape(batch, length, -1), states, None


class TinyBertResidual(nn.Module):
    """Linear, dropout, add to the residual stream, normalise (post-LayerNorm)."""

    def __init__(self, width: int, config: TinyBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        """Bring states [batch, length, width] onto the residual [batch, length, hidden]."""
        added: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + residual)
        return added


class TinyBertAttention(nn.Module):
    """The attention half of a layer."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.self = TinyBertSelfAttention(config)
        self.output = TinyBertResidual(config.qkv_size, config)

    def forward(
        self, hidden: Tensor, mask: Tensor | None, with_weights: bool = False
    ) -> tuple[Tensor, _States, Tensor | None]:
        """States [batch, length, hidden] -> the same shape, and what led to them."""
        context, states, weights = self.self(hidden, mask, with_weights)
        return self.output(context, hidden), states, weights


class TinyBertIntermediate(nn.Module):
    """The widening half of the feed-forward block."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """States [batch, length, hidden] -> [batch, length, feed-forward]."""
        return functional.gelu(self.dense(hidden))


class TinyBertLayer(nn.Module):
    """One Transformer layer."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.attention = TinyBertAttention(config)
        self.intermediate = TinyBertIntermediate(config)
        self.output = TinyBertResidual(config.intermediate_size, config)

    def forward(
        self, hidden: Tensor, mask: Tensor | None, with_weights: bool = False
    ) -> tuple[Tensor, _States, Tensor | None]:
        """States [batch, length, hidden] -> the same shape, and what led to them."""
        attended, states, weights = self.attention(hidden, mask, with_weights)
        return self.output(self.intermediate(attended), attended), states, weights


class TinyBertEncoder(nn.Module):
    """All layers."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(TinyBertLayer(config) for _ in range(config.num_hidden_layers))


class TinyBertPooler(nn.Module):
    """Dense and tanh over the first token."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """States [batch, length, hidden] -> [batch, hidden]."""
        return torch.tanh(self.dense(hidden[:, 0]))


class TinyBertTransform(nn.Module):
    """Dense, GELU and LayerNorm before the vocabulary."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """States [..., hidden] -> the same shape."""
        transformed: Tensor = self.LayerNorm(functional.gelu(self.dense(hidden)))
        return transformed


class TinyBertPredictions(nn.Module):
    """The masked-LM head; its decoder is the word table, handed in at each call."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__()
        self.transform = TinyBertTransform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, word_table: Tensor) -> Tensor:
        """Logits [..., vocabulary] of hidden states [..., hidden]."""
        return functional.linear(self.transform(hidden), word_table, self.bias)


class TinyBertPreTrainedModel(PreTrainedModel):  # type: ignore[misc, unused-ignore]
    """What all TinyBerts share: configuration, prefix, fresh weights."""

    config_class = TinyBertConfig
    base_model_prefix = "bert"
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.LayerNorm | TinyBertPredictions):
            nn.init.zeros_(module.bias)


def _chosen(asked: bool | None, config: PretrainedConfig, name: str) -> bool:
    """What a call asks for, or else what the configuration says."""
    return bool(getattr(config, name, False) if asked is None else asked)


def _added_mask(attention_mask: Tensor | None, hidden: Tensor) -> Tensor | None:
    """What is added to scores [batch, heads, length, length]: the lowest number on padding."""
    if attention_mask is None:
        return None
    if attention_mask.dim() == 2:
        attention_mask = attention_mask[:, None, :]
    if attention_mask.dim() != 3:
        raise ValueError(
            f"An attention mask has the shape [batch, length] or [batch, length, length], and not "
            f"{tuple(attention_mask.shape)}."
        )
    dropped = 1.0 - attention_mask[:, None].to(hidden.dtype)
    return dropped * torch.finfo(hidden.dtype).min


class TinyBertModel(TinyBertPreTrainedModel):
    """Embeddings, encoder, pooler, and the sentence projection where the configuration has one."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__(config)
        self.embeddings = TinyBertEmbeddings(config)
        self.encoder = TinyBertEncoder(config)
        self.pooler = TinyBertPooler(config)
        if config.projection_size is not None:
            self.projection = nn.Linear(config.hidden_size, config.projection_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The word table."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word table."""
        assert isinstance(value, nn.Embedding)
        self.embeddings.word_embeddings = value

    def forward(  # noqa: PLR0917 -- transformers' own convention
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        output_attention_states: bool = False,
    ) -> Any:
        """Encode token numbers, as `transformers.BertModel` does.

        Args:
            input_ids: [batch, length].
            attention_mask: [batch, length], or [batch, length, length] with a row for each token
                that attends, 1 for tokens and 0 for padding; all ones if None.
            token_type_ids: [batch, length], segment of each token; zeros if None.
            position_ids: [batch, length] or [1, length], place of each token; in order if None.
            inputs_embeds: [batch, length, hidden], rows of the word table, in place of `input_ids`.
            output_attentions: Whether to return the attention of every layer, [batch, heads,
                length, length]; as the configuration says if None.
            output_hidden_states: Whether to return the output of every layer; as the configuration
                says if None.
            return_dict: Whether to return a `TinyBertOutput` or a tuple; as the configuration says
                if None.
            output_attention_states: Whether to return the last layer's queries, keys and values.

        Raises:
            ValueError: There are neither numbers nor rows, both, too many tokens, or a mask of
                another shape.
        """
        with_weights = _chosen(output_attentions, self.config, "output_attentions")
        hidden = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        mask = _added_mask(attention_mask, hidden)
        states, attentions, attention_states = [hidden], [], None
        for layer in self.encoder.layer:
            hidden, attention_states, weights = layer(hidden, mask, with_weights)
            states.append(hidden)
            attentions.append(weights)
        with_states = _chosen(output_hidden_states, self.config, "output_hidden_states")
        output = TinyBertOutput(
            last_hidden_state=hidden,
            pooler_output=self.pooler(hidden),
            hidden_states=tuple(states) if with_states else None,
            attentions=tuple(attentions) if with_weights else None,
            attention_states=attention_states if output_attention_states else None,
        )
        return output if _chosen(return_dict, self.config, "return_dict") else output.to_tuple()

    def sentence_embeddings(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Unit vectors [batch, size]: the mean over tokens, projected if there is a projection."""
        hidden = self(input_ids, attention_mask, token_type_ids).last_hidden_state
        weights = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        weights = weights[..., None].to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        if self.config.projection_size is not None:
            mean = self.projection(mean)
        return functional.normalize(mean, dim=-1)


def _asked_for(encoded: TinyBertOutput) -> dict[str, Any]:
    """What an output with a head hands on of the encoder's."""
    return {"hidden_states": encoded.hidden_states, "attentions": encoded.attentions}


def _classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """Loss of logits [batch, labels] against classes, numbers, or ones and zeros of each label."""
    several = problem_type is None and logits.shape[-1] > 1 and labels.is_floating_point()
    if several or problem_type == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    if problem_type == "regression" or (problem_type is None and logits.shape[-1] == 1):
        return functional.mse_loss(logits, labels.to(logits.dtype).view_as(logits))
    return functional.cross_entropy(logits, labels.view(-1))


class TinyBertForMaskedLM(TinyBertPreTrainedModel):
    """TinyBert with a head over the vocabulary, tied to the word table."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__(config)
        self.bert = TinyBertModel(config)
        self.cls = nn.ModuleDict({"predictions": TinyBertPredictions(config)})
        self.post_init()

    def forward(  # noqa: PLR0917 -- transformers' own convention
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Logits [batch, length, vocabulary]; the loss over labels other than -100."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert(*inputs, output_attentions, output_hidden_states, return_dict=True)
        hidden = encoded.last_hidden_state
        logits = self.cls["predictions"](hidden, self.bert.embeddings.word_embeddings.weight)
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = MaskedLMOutput(loss=loss, logits=logits, **_asked_for(encoded))
        return output if _chosen(return_dict, self.config, "return_dict") else output.to_tuple()


class TinyBertForSequenceClassification(TinyBertPreTrainedModel):
    """TinyBert with a classifier (or, with one label, a regressor) over the pooled token."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__(config)
        self.bert = TinyBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, int(config.num_labels or 1))
        self.post_init()

    def forward(  # noqa: PLR0917 -- transformers' own convention
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Logits [batch, labels], and the loss that the configuration's `problem_type` names.

        Where it names none: squared error for one label, cross entropy for classes of more, and
        binary cross entropy for numbers of more.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert(*inputs, output_attentions, output_hidden_states, return_dict=True)
        logits = self.classifier(self.dropout(encoded.pooler_output))
        loss = None
        if labels is not None:
            loss = _classification_loss(logits, labels, self.config.problem_type)
        output = SequenceClassifierOutput(loss=loss, logits=logits, **_asked_for(encoded))
        return output if _chosen(return_dict, self.config, "return_dict") else output.to_tuple()


class TinyBertForQuestionAnswering(TinyBertPreTrainedModel):
    """TinyBert with a head for the first and last token of an answer."""

    def __init__(self, config: TinyBertConfig) -> None:
        super().__init__(config)
        self.bert = TinyBertModel(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(  # noqa: PLR0917 -- transformers' own convention
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Start and end logits [batch, length]; the loss leaves out answers beyond the text."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.bert(*inputs, output_attentions, output_hidden_states, return_dict=True)
        hidden = encoded.last_hidden_state
        start, end = (part.contiguous() for part in self.qa_outputs(hidden).unbind(-1))
        loss = None
        if start_positions is not None and end_positions is not None:
            length = start.shape[1]
            first = start_positions.view(-1).clamp(0, length)
            last = end_positions.view(-1).clamp(0, length)
            loss = (
                functional.cross_entropy(start, first, ignore_index=length)
                + functional.cross_entropy(end, last, ignore_index=length)
            ) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss, start_logits=start, end_logits=end, **_asked_for(encoded)
        )
        return output if _chosen(return_dict, self.config, "return_dict") else output.to_tuple()


_AUTO_CLASSES: dict[Any, type[TinyBertPreTrainedModel]] = {
    AutoModel: TinyBertModel,
    AutoModelForMaskedLM: TinyBertForMaskedLM,
    AutoModelForSequenceClassification: TinyBertForSequenceClassification,
    AutoModelForQuestionAnswering: TinyBertForQuestionAnswering,
}
AutoConfig.register(TinyBertConfig.model_type, TinyBertConfig, exist_ok=True)
for _auto, _model in _AUTO_CLASSES.items():
    _auto.register(TinyBertConfig, _model, exist_ok=True)


def save_folder(model: TinyBertPreTrainedModel, tokenizer: Any | None, folder: Path) -> None:
    """Write a folder that plain transformers loads with `trust_remote_code=True`.

    Args:
        model: With or without a head; its configuration is told how to load it.
        tokenizer: A transformers tokenizer to put beside it, or None.
        folder: Made if it is missing.
    """
    source = Path(__file__)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / source.name)
    auto_map = {
        auto.__name__: f"{source.stem}.{cls.__name__}" for auto, cls in _AUTO_CLASSES.items()
    }
    model.config.auto_map = {"AutoConfig": f"{source.stem}.TinyBertConfig", **auto_map}
    shows_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # one for every file that it writes
    try:
        model.save_pretrained(folder, safe_serialization=True)
    finally:
        if shows_bars:
            logging.enable_progress_bar()
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
