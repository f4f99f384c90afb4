from . import compare as compare, evaluate as evaluate, train as train, transfer as transfer
