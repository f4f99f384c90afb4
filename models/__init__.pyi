from .architecture import (
    Architecture as Architecture,
    parameter_count as parameter_count,
    plain_bert_heads as plain_bert_heads,
)
from .history import (
    Stage as Stage,
    last_stage as last_stage,
    read_history as read_history,
    write_history as write_history,
)
from .model_files import (
    ExternalTensor as ExternalTensor,
    data_files as data_files,
    precision_of as precision_of,
    read_graph as read_graph,
    relocated as relocated,
)
from .onnx_builder import Head as Head, build_graph as build_graph, save_graph as save_graph
from .published import PUBLISHED as PUBLISHED, resolve as resolve
from .space import (
    FEATURES as FEATURES,
    SPACES as SPACES,
    Dimension as Dimension,
    SearchSpace as SearchSpace,
    fast_rule as fast_rule,
    find_space as find_space,
)
from .weights import (
    Weights as Weights,
    random_weights as random_weights,
    weights_shapes as weights_shapes,
)
