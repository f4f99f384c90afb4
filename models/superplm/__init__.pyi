from .bundled import BUNDLED as BUNDLED, folder_of as folder_of, load_superplm as load_superplm
from .card import (
    CARD as CARD,
    FORMAT as FORMAT,
    KIND as KIND,
    WEIGHTS as WEIGHTS,
    read_card as read_card,
    read_tensors as read_tensors,
    write_tensors as write_tensors,
)
from .modeling_tinybert import (
    TinyBertConfig as TinyBertConfig,
    TinyBertOutput as TinyBertOutput,
    TinyBertPreTrainedModel as TinyBertPreTrainedModel,
    save_folder as save_folder,
)
from .slicing import (
    SliceLayers as SliceLayers,
    architecture_of as architecture_of,
    axes_of as axes_of,
    config_of as config_of,
    layer_of as layer_of,
)
from .superplm import SuperPLM as SuperPLM
from .to_bert import TINYBERTS as TINYBERTS, plain_bert as plain_bert
